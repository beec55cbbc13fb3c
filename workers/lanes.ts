import { setTimeout as delay } from 'node:timers/promises';
import { readLanes } from '../src/ledger/read-lanes.ts';
import { evenly, type Pace } from '../src/queue/pace.ts';
import { loop } from './loop.ts';
import type { Parts } from './parts.ts';

/** Attempts in flight to one callback host, over all processes. */
const callbackConcurrency = 4;

/**
 * Between two readings lies so many times what one took, up to this many milliseconds: where thousands of destinations are changed one
 * after the other, not each change has all of them read.
 */
const rest = { factor: 10, longestMs: 500 };

/** What a drainer keeps to at a destination, over all processes. */
export interface LaneLimits {
  concurrency: number;
  /** The destination's rate limit in even steps; null without one. */
  pace: Pace | null;
}

/** True for the receiver of a broadcast's callbacks, which is no configured destination. */
export function isCallback(destination: string): boolean {
  return destination.startsWith('callback:');
}

export interface LaneBook {
  /** The limits of a destination as they stand now; of one that this process has not read yet, once it has. */
  limitsOf(destination: string): Promise<LaneLimits>;
  /** The same without waiting; null for one that was not read yet. */
  known(destination: string): LaneLimits | null;
  /** The destinations changed. */
  wake(): void;
  stop(): Promise<void>;
}

/** Keeps the limits of all destinations at hand. */
export function watchLanes({ db, log }: Pick<Parts, 'db' | 'log'>): LaneBook {
  const limits = new Map<string, LaneLimits>();
  const callback = { concurrency: callbackConcurrency, pace: null };

  const stopping = new AbortController();
  let reading: Promise<void> | null = null;
  /** Readings that have begun, and the newest of those that were answered. */
  let begun = 0;
  let answered = 0;

  async function read(): Promise<void> {
    begun += 1;
    const mine = begun;
    const rows = await readLanes(db);
    if (mine < answered) return;
    answered = mine;
    limits.clear();
    for (const { name, concurrency, rateLimit } of rows) {
      limits.set(name, { concurrency, pace: rateLimit ? evenly(rateLimit) : null });
    }
  }

  function readOnce(): Promise<void> {
    reading = read().finally(() => {
      reading = null;
    });
    return reading;
  }

  const known = (destination: string) => (isCallback(destination) ? callback : (limits.get(destination) ?? null));

  async function round(): Promise<boolean> {
    const began = performance.now();
    await read();
    const ms = Math.min((performance.now() - began) * rest.factor, rest.longestMs);
    await delay(ms, undefined, { signal: stopping.signal }).catch(() => {});
    return false;
  }

  const watch = loop(round, {
    everyMs: 2_000,
    onError: (error) => log.error({ err: error }, 'the destinations could not be read'),
  });

  return {
    known,
    async limitsOf(destination) {
      // Many ask at once when a process starts. A reading that is under way may have begun before the destination was made.
      for (let n = 0; n < 2 && !known(destination); n++) await (reading ?? readOnce());
      // It was removed: its deliveries are claimed to be ended.
      return known(destination) ?? callback;
    },
    wake: watch.wake,
    stop() {
      stopping.abort();
      return watch.stop();
    },
  };
}
