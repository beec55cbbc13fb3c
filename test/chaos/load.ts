import { setTimeout as delay } from 'node:timers/promises';
import type { Parts } from './parts.ts';
import { callbackReceiver, kinds, nameOf } from './places.ts';
import { createRandom, type Random } from './random.ts';

/** What the client knows at the end. Broadcasts are told apart by their number, which is in their title. */
export interface Load {
  /** How many broadcasts were sent, numbered from 0. */
  sent: number;
  /** The id that was answered for each number. */
  accepted: Map<number, string>;
  /** Numbers whose client never got an answer: they may be recorded, or not. */
  unanswered: number[];
  /** What must never happen: other answers than the contract's. */
  wrong: string[];
  /** Requests made, repetitions included. */
  requests: number;
}

/** How long a client waits for an answer, and how long it goes on trying, in milliseconds. */
const answerMs = 10_000;
const patienceMs = 120_000;

export const titleOf = (n: number) => `chaos ${String(n).padStart(6, '0')}`;

/** The number of the broadcast of which this is a copy, wherever in it the title stands. */
export function numberIn(copy: unknown): number | null {
  const found = /chaos (\d{6})/.exec(JSON.stringify(copy) ?? '');
  return found ? Number(found[1]) : null;
}

/** Faults that outlast the load still need something to happen meanwhile: one broadcast in so many milliseconds. */
const trickleMs = 1_000;

/**
 * Sends so many broadcasts, evenly over a time but for a little jitter, and then a few more until `enough`. Resolves when each has an
 * answer or was given up.
 */
export async function sendLoad(
  parts: Parts,
  options: { broadcasts: number; overMs: number; places: number; seed: number; enough: AbortSignal },
): Promise<Load> {
  const { broadcasts, overMs, places, seed, enough } = options;
  const random = createRandom(seed, 'load');
  const load: Load = { sent: 0, accepted: new Map(), unanswered: [], wrong: [], requests: 0 };
  const began = performance.now();
  const sent: Promise<void>[] = [];
  for (let n = 0; n < broadcasts || !enough.aborted; n += 1) {
    const at = n < broadcasts ? ((n + random.next()) / broadcasts) * overMs : overMs + (n - broadcasts) * trickleMs;
    const body = bodyOf(n, places, parts, random);
    await delay(Math.max(0, began + at - performance.now()));
    load.sent = n + 1;
    sent.push(send(parts, load, n, `chaos-${seed}-${n}`, body, random.int(0, 1)));
  }
  await Promise.all(sent);
  return load;
}

/** Every tenth belongs to an incident of three: what follows in one is a reply, or a comment, and waits for its turn. */
function bodyOf(n: number, places: number, { sandbox }: Parts, random: Random): string {
  const incident = n % 10 === 0 ? Math.floor(n / 30) : null;
  const destinations = kinds.map((kind) => {
    const drawn = random.int(0, places - 1);
    return nameOf(kind, incident === null ? drawn : incident % places);
  });
  return JSON.stringify({
    message: {
      title: titleOf(n),
      body: `Something of **weight ${random.int(1, 1_000)}** happened.`,
      severity: random.pick(['critical', 'error', 'warning', 'info']),
      fields: [{ name: 'Number', value: String(n) }],
    },
    destinations,
    ...(incident !== null && { topic: `INC-${incident}` }),
    callback: {
      url: sandbox.addresses.webhookUrl(callbackReceiver),
      secret: `whsec_${Buffer.alloc(32, 7).toString('base64')}`,
    },
  });
}

/** As a client must: the same key and body again, at whichever API answers, until there is an answer. */
async function send(parts: Parts, load: Load, n: number, key: string, body: string, first: number): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  for (let tries = 0; performance.now() < giveUpAt; tries += 1) {
    if (tries > 0) await delay(Math.min(100 * 2 ** tries, 2_000));
    const api = parts.apis[(first + tries) % parts.apis.length];
    try {
      load.requests += 1;
      const response = await fetch(`${api?.url}/broadcasts`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${parts.apiKey}`,
          'content-type': 'application/json',
          'idempotency-key': key,
        },
        body,
        signal: AbortSignal.timeout(answerMs),
      });
      const said = await response.text();
      if (response.status >= 500) continue;
      if (response.status !== 202 && response.status !== 200) {
        load.wrong.push(`broadcast ${n} was answered ${response.status}: ${said.slice(0, 300)}`);
        return;
      }
      load.accepted.set(n, (JSON.parse(said) as { id: string }).id);
      return;
    } catch {
      // Refused, cut, or too late: nobody knows whether it is recorded, and so the key is used again.
    }
  }
  load.unanswered.push(n);
}
