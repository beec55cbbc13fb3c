import { Queue, type QueueOptions } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { openQueueBackend, type QueueBackend } from '../../src/queue/backend.ts';
import type { Drains } from '../../workers/drain.ts';
import type { Parts } from '../../workers/parts.ts';
import { createWake, type Wake } from '../../workers/wake.ts';
import { end, type Ledger, letPass, one, openLedger, putDestination, record, take } from '../support/ledger.ts';
import { type RedisServer, redisAvailable, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

/** A process that has no job of any destination. */
let drained: string[] = [];
const elsewhere = {
  nudge: () => false,
  finished: () => false,
  drain: async (destination: string) => void drained.push(destination),
} as unknown as Drains;

describe.skipIf(!redisAvailable())('a destination with something overdue, whose job the queue has', () => {
  let ledger: Ledger;
  let redis: RedisServer;
  let client: Redis;
  let backend: QueueBackend;
  let queue: Queue;
  let wake: Wake | undefined;

  beforeAll(async () => {
    ledger = await openLedger();
    redis = await startRedis();
    client = new Redis(redis.url, { maxRetriesPerRequest: null });
    backend = await openQueueBackend({ redisUrl: redis.url, databaseUrl: ledger.url }, createLog('silent'));
    queue = new Queue('{destinations}', { connection: client, prefix: 'tocsin' } as QueueOptions);
  });
  beforeEach(async () => {
    drained = [];
    await putDestination(ledger.db, 'ops');
    await record(ledger.db);
    await letPass(ledger.db, 7);
  });
  afterEach(async () => {
    await wake?.stop();
    await redis.flush();
    await ledger.clear();
  });
  afterAll(async () => {
    await queue?.close();
    client?.disconnect();
    await backend?.close();
    await redis?.stop();
    await ledger?.close();
  });

  const stateOf = async () => (await queue.getJob('to-ops'))?.getState();
  const begin = (parts: Partial<Parts> = {}, drain = elsewhere.drain) => {
    wake = createWake({ db: ledger.db, backend, log: createLog('silent'), ...parts } as unknown as Parts, {
      ...elsewhere,
      drain,
    });
  };
  /** The ledger's database; something happens before each search for what is due. */
  const beforeEachSearch = (work: () => Promise<void>) =>
    ({
      query: async (...given: unknown[]) => {
        await work();
        return (ledger.db.query as (...all: unknown[]) => Promise<unknown>).apply(ledger.db, given);
      },
    }) as unknown as Ledger['db'];

  test('but keeps for an hour, has it replaced by one that may run', async () => {
    await queue.add('drain', { destination: 'ops' }, { jobId: 'to-ops', delay: 3_600_000 });
    expect(await stateOf()).toBe('delayed');
    begin();
    await until('a job that may run', async () => (await stateOf()) === 'waiting');
  });

  test('but has lost from its lists, as by an eviction, has it replaced', async () => {
    await backend.add(['ops']);
    await client.del('tocsin:{destinations}:wait', 'tocsin:{destinations}:prioritized');
    expect(await stateOf()).toBe('unknown');
    begin();
    await until('a job that may run', async () => (await stateOf()) === 'waiting');
  });

  test('is drained without a job once nobody can be doing it, whatever the queue says', async () => {
    await letPass(ledger.db, 60);
    begin();
    await until('it to be drained', () => drained.includes('ops'));
  });

  test('is left to the process that sends one after the other there, though nothing is in flight between two', async () => {
    for (let n = 0; n < 30; n++) await record(ledger.db);
    await letPass(ledger.db, 60);
    let ended = 0;
    begin({
      db: beforeEachSearch(async () => {
        const next = await one<{ id: string }>(
          ledger.db,
          `select id from deliveries where state = 'pending' order by due_at limit 1`,
        );
        await end(ledger.db, next.id, 'confirmed');
        ended += 1;
      }),
    });
    await until('many searches', () => ended > 14);
    expect(drained).toEqual([]);
  });

  test('is searched for again when it could not be drained here', async () => {
    await letPass(ledger.db, 60);
    let tried = 0;
    begin({}, async () => {
      tried += 1;
      throw new Error('The destinations could not be read.');
    });
    await until('two tries', () => tried >= 2);
  });

  test('and whose queue hangs keeps back no search', async () => {
    let searches = 0;
    begin({
      db: beforeEachSearch(async () => {
        searches += 1;
      }),
      backend: { ...backend, replace: () => new Promise(() => {}) },
    });
    await until('the next searches', () => searches >= 4);
  });

  test('is left to the process that has something in flight there', async () => {
    await letPass(ledger.db, 60);
    await take(ledger.db, (await record(ledger.db)).delivery);
    begin();
    await until('its job', async () => (await stateOf()) === 'waiting');
    expect(drained).toEqual([]);
  });

  test('gets a job where it had none, and only one', async () => {
    begin();
    await until('its job', async () => (await stateOf()) === 'waiting');
    wake?.due(['ops']);
    wake?.due(['ops']);
    expect(await queue.getJobCounts('waiting')).toEqual({ waiting: 1 });
  });
});
