import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { keep } from '../kept.ts';
import { severities } from '../message.ts';
import type { Adapter, Said } from './adapter.ts';
import { createThread, type Thread } from './composing-thread.ts';
import { effort } from './markdown/effort.ts';
import { parse, plain } from './markdown/tree.ts';
import { trimBytes } from './trim.ts';

export interface Limits {
  /** What is kept, in characters of JSON. */
  cacheChars: number;
  /** A message of at most so many characters of JSON, and so much effort, is composed at once: it takes a few milliseconds. */
  lightChars: number;
  lightEffort: number;
  /** How many messages may wait for the thread before another of severity `info` is refused. Each severity has twice the room of the last. */
  room: number;
  /** How long a message may wait, in milliseconds: one that may be refused, and one that is to be sent now. */
  refusedAfterMs: number;
  plainAfterMs: number;
  /** How long the thread may take over one message, in milliseconds. Only a net: `effort` is what bounds its work. */
  deadlineMs: number;
}

const defaults: Limits = {
  cacheChars: 32 * 1024 * 1024,
  lightChars: 1_024,
  lightEffort: 1e6,
  room: 32,
  refusedAfterMs: 10_000,
  // Within the lease's margin, because the attempt has been claimed by then.
  plainAfterMs: 3_000,
  deadlineMs: 5_000,
};

/** A body that could not be read in time is shown as it was written, and no more of it than so many bytes and lines. */
const plainLimit = 4 * 1024;
const plainLines = 100;
const plainFieldLimit = 256;
const plainLinks = 10;

/** Too many long messages wait to be composed. */
export class ComposerBusy extends Error {
  constructor() {
    super('Too many long messages are being put into form just now.');
    this.name = 'ComposerBusy';
  }
}

export interface Composer {
  /**
   * What is said, in the kind's form; undefined for a kind that has none. The same message is composed once and kept for a while, for all
   * destinations, previews and attempts. With `refusable`, it throws ComposerBusy when too much waits; without, a message that waits too
   * long is composed with its body as plain text, so that it can be sent.
   */
  compose(adapter: Adapter, said: Said, options?: { refusable: boolean }): Promise<unknown>;
  close(): Promise<void>;
}

interface Job {
  kind: string;
  said: Said;
  /** The lower, the sooner. */
  rank: number;
  waiters: number;
  done: PromiseWithResolvers<unknown>;
}

export function createComposer(limits: Partial<Limits> = {}): Composer {
  const { cacheChars, lightChars, lightEffort, room, refusedAfterMs, plainAfterMs, deadlineMs } = {
    ...defaults,
    ...limits,
  };
  const cache = keep<unknown>(cacheChars);
  /** In the order of their coming. */
  const jobs = new Map<string, Job>();
  const thread: Thread = createThread(deadlineMs);
  let working = false;

  async function work(): Promise<void> {
    if (working) return;
    working = true;
    for (let next = soonest(jobs); next; next = soonest(jobs)) {
      const [key, job] = next;
      const made = await thread.compose(job.kind, job.said);
      jobs.delete(key);
      if (made.is === 'made') {
        const content: unknown = JSON.parse(made.json);
        cache.put(key, content, made.json.length);
        job.done.resolve(content);
      } else job.done.reject(made.is === 'failed' ? new Error(made.why) : new OutOfTime());
    }
    working = false;
  }

  /** Hands it to the thread, unless it is there already, and waits so long. */
  async function handOver(key: string, kind: string, said: Said, refusable: boolean): Promise<unknown> {
    const rank = severities.indexOf(said.message.severity) * 2 + (refusable ? 1 : 0);
    let job = jobs.get(key);
    if (!job) {
      const share = 2 ** (severities.length - 1 - severities.indexOf(said.message.severity));
      if (refusable && jobs.size >= room * share) throw new ComposerBusy();
      job = { kind, said, rank, waiters: 0, done: Promise.withResolvers() };
      job.done.promise.catch(() => {});
      jobs.set(key, job);
    }
    job.rank = Math.min(job.rank, rank);
    job.waiters += 1;
    void work();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new OutOfTime()), refusable ? refusedAfterMs : plainAfterMs);
    });
    try {
      return await Promise.race([job.done.promise, late]);
    } finally {
      clearTimeout(timer);
      job.waiters -= 1;
    }
  }

  return {
    async compose(adapter, { message, retracted, crossLinks }, { refusable } = { refusable: false }) {
      if (!adapter.compose) return undefined;
      const said = { message, retracted, crossLinks };
      const text = JSON.stringify(said, ordered);
      const key = `${adapter.kind} ${createHash('sha256').update(text).digest('base64')}`;
      const kept = cache.get(key);
      if (kept !== undefined) return kept;
      const body = message.body ?? '';
      if (JSON.stringify(message).length <= lightChars && effort(body) <= lightEffort) {
        const content: unknown = adapter.compose(said, parse(body));
        cache.put(key, content, text.length * 4);
        await turn();
        return content;
      }
      try {
        return await handOver(key, adapter.kind, said, refusable);
      } catch (error) {
        if (!(error instanceof OutOfTime)) throw error;
        if (refusable && jobs.has(key)) throw new ComposerBusy();
        const short = plainly(said);
        const content: unknown = adapter.compose(short, plain(short.message.body ?? ''));
        // What the thread gave up would hold it again at the next attempt.
        if (!jobs.has(key)) cache.put(key, content, plainLimit * 4);
        return content;
      }
    },

    close: () => thread.close(),
  };
}

/** The one of this process, for its API and its workers. Its thread begins with the first long message, and ends with the process. */
export const composer = createComposer();

class OutOfTime extends Error {}

function beginning(body: string): string {
  const lines = body.split('\n', plainLines + 1);
  const kept = lines.length > plainLines ? [...lines.slice(0, plainLines), '…'] : lines;
  return trimBytes(kept.join('\n'), plainLimit);
}

/** As much of it as takes a few milliseconds. */
function plainly({ message, retracted, crossLinks }: Said): Said {
  const { body = '', fields = [] } = message;
  const short = fields.map(({ name, value }) => ({ name, value: trimBytes(value, plainFieldLimit) }));
  return {
    message: { ...message, body: beginning(body), fields: short },
    retracted,
    crossLinks: crossLinks.slice(0, plainLinks),
  };
}

function soonest(jobs: Map<string, Job>): [string, Job] | undefined {
  let found: [string, Job] | undefined;
  for (const entry of jobs) {
    const [key, job] = entry;
    // Nobody waits for it any more.
    if (job.waiters === 0) jobs.delete(key);
    else if (!found || job.rank < found[1].rank) found = entry;
  }
  return found;
}

/** Properties in the order of their names: the database keeps them in another than a request had. */
function ordered(_: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)));
}
