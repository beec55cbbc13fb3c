import { Agent, request } from 'undici';
import { until } from './until.ts';

export interface Heard {
  event: string;
  id: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as clients do, without our types
  data: any;
}

/** A client of server-sent events, as the standard has it (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export interface Ear {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** What came instead of a stream. */
  // biome-ignore lint/suspicious/noExplicitAny: a problem
  problem: any;
  heard: Heard[];
  /** Everything as it came, comments too. */
  text(): string;
  /** What a browser would send as `Last-Event-ID`. */
  lastId(): string;
  ended(): boolean;
  /** Resolves with the first event, heard already or yet to come, that is such a one. */
  hears(what: string, such: (heard: Heard) => boolean): Promise<Heard>;
  /** Hangs up. */
  cut(): void;
}

export async function hear(url: string, { key, lastEventId }: { key: string; lastEventId?: string }): Promise<Ear> {
  const agent = new Agent({ bodyTimeout: 0 });
  const headers = {
    authorization: `Bearer ${key}`,
    ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
  };
  const answer = await request(url, { dispatcher: agent, headers });
  const isStream = String(answer.headers['content-type']).startsWith('text/event-stream');
  const heard: Heard[] = [];
  let [text, rest, lastId, ended] = ['', '', '', false];

  function take(block: string): void {
    const fields = block.split('\n').map((line) => /^([a-z]*): ?(.*)$/.exec(line)?.slice(1) ?? []);
    const field = (name: string) => fields.find(([known]) => known === name)?.[1];
    lastId = field('id') ?? lastId;
    const data = field('data');
    if (data !== undefined) {
      heard.push({ event: field('event') ?? 'message', id: field('id') ?? null, data: JSON.parse(data) });
    }
  }

  async function follow(): Promise<void> {
    answer.body.setEncoding('utf8');
    for await (const piece of answer.body) {
      text += piece;
      const blocks = (rest + piece).split('\n\n');
      rest = blocks.pop() ?? '';
      blocks.forEach(take);
    }
  }

  const following = isStream ? follow() : Promise.resolve();
  void following
    .catch(() => {})
    .then(() => {
      ended = true;
      void agent.destroy();
    });
  return {
    status: answer.statusCode,
    headers: answer.headers,
    problem: isStream ? null : await answer.body.json(),
    heard,
    text: () => text,
    lastId: () => lastId,
    ended: () => ended,
    hears: (what, such) => until(what, () => heard.find(such)),
    cut: () => void agent.destroy(),
  };
}
