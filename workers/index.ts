import { assertKey } from '../src/key.ts';
import { type Lane, readLanes } from '../src/ledger/read-lanes.ts';
import { ringWaiting } from '../src/ledger/ring-waiting.ts';
import { subscribe } from '../src/ledger/subscribe.ts';
import { planLanes } from '../src/queue/lanes.ts';
import { assertConnections } from './connections.ts';
import { deliver } from './deliver.ts';
import { loop } from './loop.ts';
import type { LaneBook, Parts } from './parts.ts';
import { relay } from './relay.ts';
import { sweep } from './sweep.ts';

/** How long attempts may take to finish on SIGTERM, in milliseconds; orchestrators commonly kill after thirty seconds. */
const graceMs = 15_000;

export interface Workers {
  stop(): Promise<void>;
}

/**
 * Starts the loops of this process: rings from the outbox to their lanes, deliveries from the lanes to their destinations, and the
 * sweep. Any number of processes may do so. Resolves when the lanes are open.
 *
 * @param mostLanes past so many, destinations share lanes by hash
 */
export async function startWorkers(parts: Parts & { databaseUrl: string; mostLanes: number }): Promise<Workers> {
  const { db, log, mostLanes } = parts;
  await assertKey(parts);
  if (parts.backend.kind === 'postgres') await assertConnections(parts, mostLanes);
  const book: LaneBook = { plans: planLanes([], mostLanes), budgetLanes: () => [] };
  const lanes = deliver(parts, book);
  let known = new Map<string, Lane>();
  const moved = new Set<string>();
  let began = false;

  async function readBook(): Promise<boolean> {
    const rows = await readLanes(db);
    const plans = planLanes(
      rows.map(({ name, policy }) => ({ name, concurrency: policy.concurrency, rateLimit: policy.rateLimit ?? null })),
      mostLanes,
    );
    const budgets = Map.groupBy(
      rows.filter(({ budget }) => budget !== null),
      ({ budget }) => budget,
    );
    // One that this process has not known until now may have had its rings carried to a lane of its own that nobody works on.
    for (const { name } of began ? rows : []) {
      if (book.plans.laneOf(name) !== plans.laneOf(name)) moved.add(name);
    }
    began = true;
    book.plans = plans;
    book.budgetLanes = (destination) => {
      const budget = rows.find(({ name }) => name === destination)?.budget;
      const sharing = budget ? (budgets.get(budget) ?? []) : [];
      const own = [destination, ...sharing.map(({ name }) => name)].filter((name) => !plans.isShared(name));
      return [...new Set(own.map((name) => plans.laneOf(name)))];
    };
    lanes.fit();
    for (const { name, updatedAt } of rows) {
      const before = known.get(name);
      // Another credential may have another limit, and who resumes a destination will not wait for the last one's.
      if (before && before.updatedAt.getTime() !== updatedAt.getTime()) lanes.unblock(name);
    }
    known = new Map(rows.map((row) => [row.name, row]));
    // Their old lanes are emptied, and one destination more must not make all the others wait until the sweep misses theirs.
    if (moved.size > 0) await ringWaiting(db, [...moved]);
    // Only now: where the ledger could not be asked, the next round asks it.
    moved.clear();
    return false;
  }

  await readBook();
  const watch = loop(readBook, {
    everyMs: 2_000,
    onError: (error) => log.error({ err: error }, 'the destinations could not be read'),
  });
  const relaying = relay(parts, book);
  const sweeping = sweep(parts);
  const subscription = subscribe(
    parts.databaseUrl,
    { tocsin_outbox: () => relaying.wake(), tocsin_destinations: () => watch.wake() },
    () => relaying.wake(),
  );

  return {
    async stop() {
      await subscription.close();
      await Promise.all([watch.stop(), relaying.stop(), sweeping.stop()]);
      await lanes.stop(graceMs);
    },
  };
}
