import { DelayedError, type Worker } from 'bullmq';
import type { Ring } from '../src/queue/backend.ts';
import { withTimeout } from '../src/queue/backend.ts';
import type { LanePlan } from '../src/queue/lanes.ts';
import { type Answer, createAttempt } from './attempt.ts';
import type { LaneBook, Parts } from './parts.ts';

/** What is due further ahead, in milliseconds, is left to the ledger: the queue holds only what is near its time. */
const nearMs = 600_000;
/** How long setting a limit on a lane may take while the queue's server is away, in milliseconds. */
const limitTimeoutMs = 3_000;

/** How soon to look again, at the least, while the ledger cannot be asked, in milliseconds. */
const outageMs = 1_000;

export interface Lanes {
  /** Makes the workers fit the plan: opens, changes and closes lanes. */
  fit(): void;
  /** Lets attempts under way finish, for at most `graceMs`; then interrupts them and waits until they are settled. */
  stop(graceMs: number): Promise<void>;
}

interface OpenLane {
  plan: LanePlan;
  worker: Worker;
  /** The rate limit that was last set on its queue, as JSON. */
  limited?: string | undefined;
}

/** Works on every lane of the plan. */
export function deliver(parts: Parts, book: LaneBook): Lanes {
  const { backend, log } = parts;
  const interrupt = new AbortController();
  const attempt = createAttempt(parts, interrupt.signal);
  const open = new Map<string, OpenLane>();
  const closing = new Set<Promise<void>>();

  async function follow(job: Ring, token?: string): Promise<void> {
    const { waitMs, blocked } = await attempt(job.id ?? '').catch(later);
    if (blocked) await block(blocked.destination, blocked.ms);
    if (waitMs === null || waitMs > nearMs) return;
    await job.moveToDelayed(Date.now() + waitMs, token);
    throw new DelayedError();
  }

  /** The ledger could not be asked, so nothing was attempted. The job stays, or a short outage would empty the lanes. */
  function later(error: unknown): Answer {
    log.error({ err: error }, 'a ring could not be followed; looking again soon');
    return { waitMs: outageMs * (1 + Math.random()), blocked: null };
  }

  /** One 429 slows every lane that spends from the same budget, before each of them earns its own. The ledger knows it too. */
  async function block(destination: string, ms: number): Promise<void> {
    await Promise.all(
      book
        .budgetLanes(destination)
        .map((lane) =>
          withTimeout(backend.queue(lane).rateLimit(ms), limitTimeoutMs, `Lane ${lane} could not be slowed`).catch(
            (error) => log.warn({ lane, err: error }, 'a lane could not be slowed; its claims will be refused instead'),
          ),
        ),
    );
  }

  /** A limit holds for the whole queue, over all processes; setting it again is harmless. */
  async function limit(entry: OpenLane): Promise<void> {
    const { lane, rateLimit } = entry.plan;
    const wanted = JSON.stringify(rateLimit);
    if (wanted === entry.limited) return;
    entry.limited = wanted;
    const queue = backend.queue(lane);
    try {
      const set = rateLimit ? queue.setGlobalRateLimit(rateLimit.max, rateLimit.perMs) : queue.removeGlobalRateLimit();
      await withTimeout(set, limitTimeoutMs, `Lane ${lane} did not take its limit`);
    } catch (error) {
      entry.limited = undefined;
      log.warn({ lane, err: error }, "a lane's rate limit could not be set; trying again");
    }
  }

  function begin(plan: LanePlan): OpenLane {
    // BullMQ's job type varies by backend; a ring carries nothing but its id.
    const worker = backend.worker(plan.lane, follow as never, { concurrency: plan.concurrency });
    const entry = { plan, worker };
    open.set(plan.lane, entry);
    return entry;
  }

  function close(lane: string, worker: Worker): void {
    open.delete(lane);
    const done = worker.close().catch((error) => log.warn({ lane, err: error }, 'a lane did not close in order'));
    closing.add(done);
    void done.finally(() => closing.delete(done));
  }

  return {
    fit() {
      for (const [lane, { worker }] of open) if (!book.plans.lanes.has(lane)) close(lane, worker);
      for (const plan of book.plans.lanes.values()) {
        const entry = open.get(plan.lane) ?? begin(plan);
        if (entry.plan.concurrency !== plan.concurrency) entry.worker.concurrency = plan.concurrency;
        entry.plan = plan;
        void limit(entry);
      }
    },

    async stop(graceMs) {
      for (const [lane, { worker }] of open) close(lane, worker);
      const timer = setTimeout(() => interrupt.abort(), graceMs);
      await Promise.all(closing);
      clearTimeout(timer);
    },
  };
}
