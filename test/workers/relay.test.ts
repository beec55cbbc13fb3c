import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ringOverdue } from '../../src/ledger/ring-overdue.ts';
import { createLog } from '../../src/log.ts';
import { openQueueBackend, type QueueBackend } from '../../src/queue/backend.ts';
import { planLanes } from '../../src/queue/lanes.ts';
import type { Loop } from '../../workers/loop.ts';
import type { Parts } from '../../workers/parts.ts';
import { relay } from '../../workers/relay.ts';
import { clearRings, type Ledger, letPass, openLedger, putDestination, record, rings } from '../support/ledger.ts';
import { type RedisServer, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { queueKinds } from './crew.ts';

describe.each(queueKinds)('an overdue delivery whose job the queue has, on %s', (kind) => {
  let ledger: Ledger;
  let redis: RedisServer | null = null;
  let backend: QueueBackend;
  let relaying: Loop | undefined;
  const lane = 'to-ops';

  beforeAll(async () => {
    ledger = await openLedger();
    redis = kind === 'redis' ? await startRedis() : null;
    const log = createLog('silent');
    backend = await openQueueBackend({ redisUrl: redis?.url ?? null, databaseUrl: ledger.url, lanes: 4 }, log);
  });
  afterEach(async () => {
    await relaying?.stop();
    await backend.queue(lane).drain(true);
    await ledger.clear();
  });
  afterAll(async () => {
    await backend?.close();
    await redis?.stop();
    await ledger?.close();
  });

  const stateOf = async (id: string) => (await backend.queue(lane).getJob(id))?.getState();

  /** Overdue, and forgotten by everybody but the sweep, which rings it again. */
  async function overdue(delay?: number): Promise<string> {
    await putDestination(ledger.db, 'ops');
    const { delivery } = await record(ledger.db);
    await clearRings(ledger.db);
    await backend.queue(lane).add('ring', {}, { jobId: delivery, priority: 4, ...(delay && { delay }) });
    await letPass(ledger.db, 60);
    return delivery;
  }

  function begin(): void {
    const plans = planLanes([{ name: 'ops', concurrency: 4, rateLimit: null }], 20);
    const log = createLog('silent');
    relaying = relay({ db: ledger.db, backend, log } as unknown as Parts, { plans, budgetLanes: () => [] });
  }

  test('but put off for an hour, by a clock that was ahead, is let go', async () => {
    const id = await overdue(3_600_000);
    expect(await stateOf(id)).toBe('delayed');
    await ringOverdue(ledger.db, 10);
    begin();
    await until('its job to be due', async () => ['waiting', 'prioritized'].includes((await stateOf(id)) ?? ''));
  });

  test('in its turn keeps its job', async () => {
    const id = await overdue();
    const before = await backend.queue(lane).getJob(id);
    await ringOverdue(ledger.db, 10);
    begin();
    await until('the ring to be followed', async () => (await rings(ledger.db)).length === 0);
    expect((await backend.queue(lane).getJob(id))?.timestamp).toBe(before?.timestamp);
  });

  test.runIf(kind === 'redis')('but lost from all of its lists, as by an eviction, has its job replaced', async () => {
    const id = await overdue();
    const client = new Redis(redis?.url ?? '');
    await client.del(`tocsin:{${lane}}:prioritized`);
    client.disconnect();
    expect(await stateOf(id)).toBe('unknown');
    await ringOverdue(ledger.db, 10);
    begin();
    await until('its job to be there', async () => (await stateOf(id)) === 'prioritized');
  });
});
