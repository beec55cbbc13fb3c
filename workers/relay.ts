import { dropRings, putBackRings, type Ring, takeRings } from '../src/ledger/take-rings.ts';
import { withTimeout } from '../src/queue/backend.ts';
import { type Loop, loop } from './loop.ts';
import type { LaneBook, Parts } from './parts.ts';

/** Rings carried at once. BullMQ adds hundreds in one call ten times faster than fives on PostgreSQL. */
const batch = 500;
/** A lane with so many jobs takes no more for now; the rest wait in the outbox, which costs the queue's memory nothing. */
const fullAt = 10_000;
/** How long a lane may take to accept its share, in milliseconds. */
const addTimeoutMs = 5_000;
/** How long a lane that was full is left alone before its length is asked again, in milliseconds. */
const fullMs = 1_000;

/** Carries rings from the outbox to their lanes. Any number of relays may run. */
export function relay({ db, backend, log }: Parts, book: LaneBook): Loop {
  const fullUntil = new Map<string, number>();

  async function round(): Promise<boolean> {
    const now = performance.now();
    for (const [destination, until] of fullUntil) if (until <= now) fullUntil.delete(destination);
    const rings = await takeRings(db, batch, [...fullUntil.keys()]);
    const carried = await Promise.all([...byLane(rings)].map(([lane, its]) => carry(lane, its)));
    // Lanes that refuse their rings are not asked again at once.
    return rings.length === batch && carried.some(Boolean);
  }

  function byLane(rings: readonly Ring[]): Map<string, Ring[]> {
    return Map.groupBy(rings, ({ destination }) => book.plans.laneOf(destination));
  }

  async function carry(lane: string, rings: Ring[]): Promise<boolean> {
    const ids = rings.map(({ id }) => id);
    const queue = backend.queue(lane);
    try {
      const jobs = rings.map(({ id, priority }) => ({
        name: 'ring',
        data: {},
        // One job per delivery: a second ring for one that is waiting, active or delayed is ignored by BullMQ.
        opts: { jobId: id, priority, removeOnComplete: true, removeOnFail: true },
      }));
      await withTimeout(queue.addBulk(jobs), addTimeoutMs, `Lane ${lane} did not take its rings`);
      await dropRings(db, ids);
      if (rings.length === batch) await measure(lane, rings);
      return true;
    } catch (error) {
      log.warn({ lane, rings: ids.length, err: error }, 'rings stay in the outbox: the queue does not take them');
      await putBackRings(db, ids);
      return false;
    }
  }

  async function measure(lane: string, rings: readonly Ring[]): Promise<void> {
    const counts = await backend.queue(lane).getJobCounts('wait', 'prioritized');
    const waiting = Object.values(counts).reduce((sum, n) => sum + n, 0);
    if (waiting < fullAt) return;
    for (const { destination } of rings) fullUntil.set(destination, performance.now() + fullMs);
  }

  return loop(round, { everyMs: 500, onError: (error) => log.error({ err: error }, 'the relay could not go round') });
}
