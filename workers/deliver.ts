import { DelayedError, type Worker } from 'bullmq';
import type { Ring } from '../src/queue/backend.ts';
import { withTimeout } from '../src/queue/backend.ts';
import type { LanePlan } from '../src/queue/lanes.ts';
import { type Answer, createAttempt } from './attempt.ts';
import { createBulkhead } from './bulkhead.ts';
import type { LaneBook, Parts } from './parts.ts';

/** What is due further ahead, in milliseconds, is left to the ledger: the queue holds only what is near its time. */
const nearMs = 120_000;
/** How long the queue's server may take to slow, release or empty a lane, in milliseconds. */
const serverMs = 3_000;
/** How long an interrupted attempt may take to be settled, in milliseconds. */
const settleMs = 3_000;
/** How soon to look again, at the least, while the ledger cannot be asked, in milliseconds. */
const outageMs = 1_000;

export interface Lanes {
  /** Makes the workers fit the plan: opens, changes and closes lanes. */
  fit(): void;
  /** Lets a lane go on that a rate limit stopped: its destination is not what it was. */
  unblock(destination: string): void;
  /** Lets attempts under way finish, for at most `graceMs`; then interrupts them and waits until they are settled. */
  stop(graceMs: number): Promise<void>;
}

interface OpenLane {
  plan: LanePlan;
  worker: Worker;
}

/** Works on every lane of the plan. */
export function deliver(parts: Parts, book: LaneBook): Lanes {
  const { backend, log } = parts;
  const interrupt = new AbortController();
  const attempt = createAttempt(parts, interrupt.signal);
  const bulkhead = createBulkhead((destination) => book.plans.placesOf(destination));
  const open = new Map<string, OpenLane>();
  const closing = new Set<Promise<void>>();

  async function follow(job: Ring, token?: string): Promise<void> {
    const { to } = job.data;
    const place = to === undefined ? null : bulkhead.enter(to);
    if (place && 'againMs' in place) return comeAgain(job, place.againMs, token);
    const { waitMs, blocked } = await attempt(job.id ?? '')
      .catch(later)
      .finally(place?.leave);
    if (blocked) await block(blocked.destination, blocked.ms);
    if (waitMs === null || waitMs > nearMs) return;
    await comeAgain(job, waitMs, token);
  }

  async function comeAgain(job: Ring, ms: number, token?: string): Promise<never> {
    await job.moveToDelayed(Date.now() + Math.ceil(ms), token);
    throw new DelayedError();
  }

  /** The ledger could not be asked, so nothing was attempted. The job stays, or a short outage would empty the lanes. */
  function later(error: unknown): Answer {
    log.error({ err: error }, 'a ring could not be followed; looking again soon');
    return { waitMs: outageMs * (1 + Math.random()), blocked: null };
  }

  /**
   * One 429 slows every lane that spends from the same budget, before each of them earns its own. A shared lane goes on for the others
   * in it: there, as wherever the queue has forgotten, the ledger refuses the claims.
   */
  async function block(destination: string, ms: number): Promise<void> {
    const lanes = book.budgetLanes(destination);
    await Promise.all(
      lanes.map((lane) => atServer(backend.queue(lane).rateLimit(Math.ceil(ms)), { lane }, 'could not be slowed')),
    );
  }

  async function atServer(work: Promise<unknown>, about: { lane: string }, failed: string): Promise<void> {
    await withTimeout(work, serverMs, `Lane ${about.lane} ${failed}`).catch((error) =>
      log.warn({ ...about, err: error }, `a lane ${failed}; the ledger decides all the same`),
    );
  }

  function begin(plan: LanePlan): void {
    const { lane, concurrency, pace } = plan;
    // BullMQ's job type varies by backend; a ring carries next to nothing but its id.
    const worker = backend.worker(lane, follow as never, { concurrency, pace });
    open.set(lane, { plan, worker });
  }

  function close(lane: string, worker: Worker): Promise<void> {
    open.delete(lane);
    const done = worker.close().catch((error) => log.warn({ lane, err: error }, 'a lane did not close in order'));
    closing.add(done);
    return done.finally(() => closing.delete(done));
  }

  return {
    fit() {
      for (const [lane, { worker }] of open) {
        // What is left in it has moved to another lane, or is over: the ledger knows which.
        if (!book.plans.lanes.has(lane))
          void close(lane, worker).then(() =>
            // It may be wanted again by the time the last attempt in it has ended.
            book.plans.lanes.has(lane) ? undefined : atServer(backend.drop(lane), { lane }, 'could not be emptied'),
          );
      }
      for (const plan of book.plans.lanes.values()) {
        const entry = open.get(plan.lane);
        // A worker tells the queue its pace with every fetch, so that no restart or flush of the server forgets it; and keeps
        // the one it was born with.
        if (entry && samePace(entry.plan, plan)) {
          if (entry.plan.concurrency !== plan.concurrency) entry.worker.concurrency = plan.concurrency;
          entry.plan = plan;
          continue;
        }
        if (entry) void close(plan.lane, entry.worker);
        begin(plan);
      }
    },

    unblock(destination) {
      for (const lane of book.budgetLanes(destination))
        void atServer(backend.queue(lane).removeRateLimitKey(), { lane }, 'could not be let go on');
    },

    async stop(graceMs) {
      for (const [lane, { worker }] of open) void close(lane, worker);
      const timer = setTimeout(() => interrupt.abort(), graceMs);
      // BullMQ waits for its server too, which may be away for longer than anybody waits for us. The attempts are over by then.
      await withTimeout(Promise.all(closing), graceMs + settleMs, 'The lanes did not close').catch((error) =>
        log.warn({ err: error }, 'the queue keeps jobs that were in hand; they are run again elsewhere'),
      );
      clearTimeout(timer);
    },
  };
}

function samePace({ pace: a }: LanePlan, { pace: b }: LanePlan): boolean {
  return a?.max === b?.max && a?.perMs === b?.perMs;
}
