import { dropRings, putBackRings, type Ring, takeRings } from '../src/ledger/take-rings.ts';
import { withTimeout } from '../src/queue/backend.ts';
import { createLevels } from './levels.ts';
import { type Loop, loop } from './loop.ts';
import type { LaneBook, Parts } from './parts.ts';

/** Rings carried at once. BullMQ adds hundreds in one call ten times faster than fives on PostgreSQL. */
const batch = 500;
/** How long a lane may take to accept its share, in milliseconds. */
const addTimeoutMs = 5_000;

/** States of jobs that the queue will run, or is running. */
const inTurn = ['active', 'waiting', 'prioritized'];

/** Carries rings from the outbox to their lanes. Any number of relays may run. */
export function relay({ db, backend, log }: Parts, book: LaneBook): Loop {
  const levels = createLevels((lane) => backend.waiting(lane));

  async function round(): Promise<boolean> {
    const { full, shut } = await levels.read();
    const rings = await takeRings(db, batch, full, shut);
    const lanes = Map.groupBy(rings, ({ destination }) => book.plans.laneOf(destination));
    const carried = await Promise.all([...lanes].map(([lane, its]) => carry(lane, its)));
    // Lanes that refuse their rings are not asked again at once. A batch that is far from full was the last of them, or another
    // relay is at work on the rest.
    return rings.length >= batch / 5 && carried.some(Boolean);
  }

  async function carry(lane: string, rings: Ring[]): Promise<boolean> {
    const ids = rings.map(({ id }) => id);
    try {
      await withTimeout(backend.add(lane, rings.map(jobOf)), addTimeoutMs, `Lane ${lane} did not take its rings`);
      await wake(lane, rings);
      // What is not mended now is rung again by the sweep.
      await mend(lane, rings).catch((error) => log.warn({ lane, err: error }, 'jobs could not be mended'));
      await dropRings(db, ids);
      await levels.added(lane, rings);
      return true;
    } catch (error) {
      log.warn({ lane, rings: ids.length, err: error }, 'rings stay in the outbox: the queue does not take them');
      await putBackRings(db, ids);
      return false;
    }
  }

  function jobOf({ id, destination, priority }: Ring) {
    return { id, priority, data: book.plans.isShared(destination) ? { to: destination } : {} };
  }

  /** BullMQ ignores a ring for a job that it has already, so that one is moved to the front of its time, and of its lane, instead. */
  async function wake(lane: string, rings: readonly Ring[]): Promise<void> {
    const queue = backend.queue(lane);
    const moved = rings
      .filter(({ hurry }) => hurry)
      .map(async ({ id, priority }) => {
        const job = await queue.getJob(id);
        if (!job) return;
        if (priority < job.priority) await job.changePriority({ priority });
        if (await job.isDelayed()) await job.promote();
      });
    // One that started by itself in between cannot be promoted any more, and need not be.
    await withTimeout(Promise.allSettled(moved), addTimeoutMs, `Lane ${lane} did not wake its jobs`);
  }

  /**
   * Sets jobs going again that the queue has, but will not run in time: put off by a process whose clock was ahead, or lost from the
   * queue's lists when its server lost a part of its data.
   */
  async function mend(lane: string, rings: readonly Ring[]): Promise<void> {
    const queue = backend.queue(lane);
    const mended = rings
      .filter(({ again }) => again)
      .map(async (ring) => {
        const job = await queue.getJob(ring.id);
        const state = await job?.getState();
        if (!job || !state || inTurn.includes(state)) return;
        if (state === 'delayed') return job.promote();
        await job.remove();
        await backend.add(lane, [jobOf(ring)]);
      });
    // One that started, or ended, by itself in between needs no mending.
    await withTimeout(Promise.allSettled(mended), addTimeoutMs, `Lane ${lane} did not mend its jobs`);
  }

  return loop(round, { everyMs: 500, onError: (error) => log.error({ err: error }, 'the relay could not go round') });
}
