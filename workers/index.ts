import { assertKey } from '../src/key.ts';
import { dueChannel } from '../src/ledger/due.ts';
import { subscribe } from '../src/ledger/subscribe.ts';
import { withTimeout } from '../src/queue/backend.ts';
import { createAttempt } from './attempt.ts';
import { createDrains } from './drain.ts';
import { watchLanes } from './lanes.ts';
import type { Parts } from './parts.ts';
import { sweep } from './sweep.ts';
import { createWake } from './wake.ts';

/** How long attempts may take to finish on SIGTERM, in milliseconds; orchestrators commonly kill after thirty seconds. */
const graceMs = 15_000;
/** How long an interrupted attempt may take to be settled, and the queue to take its jobs back, in milliseconds. */
const settleMs = 3_000;

export interface Workers {
  stop(): Promise<void>;
}

/**
 * Starts the loops of this process: `wake` gives each destination with something due a job, `drain` follows jobs, `sweep` finds what
 * crashes left behind. Any number of processes may do so.
 */
export async function startWorkers(parts: Parts & { databaseUrl: string }): Promise<Workers> {
  const { log, backend } = parts;
  await assertKey(parts);
  const interrupt = new AbortController();
  const attempt = createAttempt(parts, interrupt.signal);
  const lanes = watchLanes(parts);
  const drains = createDrains(parts, lanes, attempt, (destination) => wake.due([destination]));
  const wake = createWake(parts, drains);
  const worker = backend.work(drains.drain, wake.finished);
  const sweeping = sweep(parts);
  const subscription = subscribe(
    parts.databaseUrl,
    {
      [dueChannel]: (names) => wake.due(names === '' ? [] : names.split('\n')),
      tocsin_destinations: lanes.wake,
    },
    () => wake.due([]),
  );

  return {
    async stop() {
      await subscription.close();
      await Promise.all([wake.stop(), lanes.stop(), sweeping.stop()]);
      const timer = setTimeout(() => interrupt.abort(), graceMs);
      // Takes no more jobs, and resolves when those under way are over.
      const closed = worker.stop();
      await drains.stop();
      clearTimeout(timer);
      // BullMQ waits for its server too, which may be away for longer than anybody waits for us. The attempts are over by then.
      await withTimeout(closed, settleMs, 'The queue did not take its jobs back').catch((error) =>
        log.warn({ err: error }, 'the queue keeps jobs of this process; they are run again elsewhere'),
      );
    },
  };
}
