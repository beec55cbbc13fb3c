import { findDue } from '../src/ledger/due.ts';
import type { Drains } from './drain.ts';
import { loop } from './loop.ts';
import type { Parts } from './parts.ts';

/** How often the ledger is searched for what is due, in milliseconds: notifications are hints. */
const pollMs = 500;
/**
 * A job that was added so lately, in milliseconds, is waiting, or another process has it and hears what we hear. Below the time for
 * which a drainer lingers.
 */
const fresh = { notified: 400, polled: 2_000 };
/** Due for so long, in milliseconds: the queue may have lost the job, or keep it from running. */
const lostMs = 5_000;
/**
 * Due for so long, in milliseconds, and idle at each of so many searches over so long a time, with the same delivery at its head: no
 * process drains the destination, whatever the queue says. One search would not tell: between two sends nothing is in flight. Longer
 * than the queue takes to give a dead process's job to another.
 */
const abandoned = { lateMs: 10_000, searches: 5, seenMs: 4_000 };
/** So many jobs are replaced at once. */
const replacements = 20;

export interface Wake {
  /** Something is due at these destinations; with none named, anywhere. */
  due(destinations: readonly string[]): void;
  /** A destination's job has left the queue. */
  finished(destination: string): void;
  stop(): Promise<void>;
}

/** Sees to it that each destination with something due has a job, or a drainer in this process that knows. */
export function createWake({ db, backend, log }: Parts, drains: Drains): Wake {
  const wanted = new Set<string>();
  const addedAt = new Map<string, number>();
  const replacedAt = new Map<string, number>();
  const lost = new Set<string>();
  let replacing = false;
  /** The idle destinations of the last search, and since when each has been idle. */
  let sights = new Map<string, Sight>();
  let adding = false;

  async function poll(): Promise<boolean> {
    const now = performance.now();
    const found = await findDue(db);
    const before = sights;
    sights = new Map();
    for (const { destination, lateMs, head, idle } of found) {
      if (drains.nudge(destination)) continue;
      const last = before.get(destination);
      const sight = last?.head === head ? { ...last, searches: last.searches + 1 } : { head, searches: 1, since: now };
      if (idle) sights.set(destination, sight);
      const { searches, since } = sight;
      if (idle && lateMs > abandoned.lateMs && searches >= abandoned.searches && now - since >= abandoned.seenMs) {
        // Without a job, then: the ledger lets each delivery be claimed once, however many processes drain the destination.
        log.warn(
          { destination, lateMs: Math.round(lateMs) },
          'the queue runs no job for what is due: it is sent without one',
        );
        drains.drain(destination).then(
          () => finished(destination),
          (error) => log.error({ destination, err: error }, 'what is due could not be sent; trying again soon'),
        );
        continue;
      }
      if (lateMs > lostMs && now - (replacedAt.get(destination) ?? now - lostMs) >= lostMs) {
        replacedAt.set(destination, now);
        lost.add(destination);
        if (!replacing) void replace();
      } else want(destination, fresh.polled);
    }
    forget(addedAt, now);
    forget(replacedAt, now);
    return false;
  }

  function want(destination: string, freshMs: number): void {
    if (performance.now() - (addedAt.get(destination) ?? Number.NEGATIVE_INFINITY) < freshMs) return;
    wanted.add(destination);
    if (!adding) void add();
  }

  /** Beside the search, which goes on when the queue hangs. */
  async function replace(): Promise<void> {
    replacing = true;
    while (lost.size > 0) {
      const some = [...lost].slice(0, replacements);
      for (const destination of some) lost.delete(destination);
      const replaced = await Promise.allSettled(some.map((destination) => backend.replace(destination)));
      const failed = replaced.find(({ status }) => status === 'rejected');
      if (failed?.status === 'rejected')
        log.warn({ destinations: some.length, err: failed.reason }, 'the queue replaces no jobs: what is due waits');
    }
    replacing = false;
  }

  async function add(): Promise<void> {
    adding = true;
    // What is wanted in the same moment is added in one call.
    await new Promise(setImmediate);
    while (wanted.size > 0) {
      const destinations = [...wanted];
      wanted.clear();
      const now = performance.now();
      for (const destination of destinations) addedAt.set(destination, now);
      try {
        await backend.add(destinations);
      } catch (error) {
        // The next search finds them again.
        for (const destination of destinations) addedAt.delete(destination);
        const reason = error instanceof Error ? error.message : String(error);
        log.warn(
          { destinations: destinations.length, reason },
          'the queue takes no jobs: what is due goes out without one after 10 s',
        );
      }
    }
    adding = false;
  }

  const polling = loop(poll, {
    everyMs: pollMs,
    onError: (error) => log.error({ err: error }, 'what is due could not be searched for'),
  });

  return {
    due(destinations) {
      if (destinations.length === 0) return polling.wake();
      for (const destination of destinations) if (!drains.nudge(destination)) want(destination, fresh.notified);
    },
    finished,
    stop: polling.stop,
  };

  function finished(destination: string): void {
    addedAt.delete(destination);
    if (drains.finished(destination)) want(destination, 0);
  }
}

interface Sight {
  head: string;
  searches: number;
  since: number;
}

/** Nothing is remembered for longer than it is of use. */
function forget(times: Map<string, number>, now: number): void {
  for (const [destination, at] of times) if (now - at > 2 * lostMs) times.delete(destination);
}
