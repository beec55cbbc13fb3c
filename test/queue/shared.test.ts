import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../src/log.ts';
import { openQueueBackend, type QueueBackend, type QueueWorker } from '../../src/queue/backend.ts';
import { freshDatabase } from '../support/database.ts';
import { type RedisServer, redisAvailable, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

const kinds = ['postgres', ...(redisAvailable() ? ['redis'] : [])];

describe.each(kinds)('destinations that become due at once, on %s,', (kind) => {
  let database: Awaited<ReturnType<typeof freshDatabase>>;
  let redis: RedisServer | null = null;
  let backend: QueueBackend;
  let worker: QueueWorker | undefined;
  const names = Array.from({ length: 250 }, (_, n) => `place-${n}`);

  beforeAll(async () => {
    database = await freshDatabase();
    redis = kind === 'redis' ? await startRedis() : null;
    backend = await openQueueBackend({ redisUrl: redis?.url ?? null, databaseUrl: database.url }, createLog('silent'));
    await until('the queue server to answer', () =>
      backend.reach().then(
        () => true,
        () => false,
      ),
    );
  });
  afterEach(() => worker?.stop());
  afterAll(async () => {
    await backend?.close();
    await redis?.stop();
    await database?.drop();
  });

  test('share jobs when they are very many: each is drained once, and is told as finished by itself', async () => {
    const drained: string[] = [];
    const finished = new Set<string>();
    let endSlow = () => {};
    const slow = new Promise<void>((resolve) => {
      endSlow = resolve;
    });
    // Two processes hear the same.
    await Promise.all([backend.add(names), backend.add([...names].reverse())]);
    worker = backend.work(
      async (name) => {
        drained.push(name);
        if (name === 'place-7') await slow;
      },
      (name) => finished.add(name),
    );
    await until('all but the slow one', () => finished.size === names.length - 1);
    expect(finished.has('place-7')).toBe(false);
    expect([...drained].sort()).toEqual([...names].sort());
    endSlow();
    await until('the slow one', () => finished.has('place-7'));
    await backend.add(['place-7']);
    await until('its own job', () => drained.filter((name) => name === 'place-7').length === 2);
    expect(drained).toHaveLength(names.length + 1);
  });

  test('are told again when their shared job has left the queue, which until then takes no other one for the same', async () => {
    const drained: string[] = [];
    const told = new Map<string, number>();
    const all = (times: number) => names.every((name) => (told.get(name) ?? 0) >= times);
    let early: Promise<void> | undefined;
    await backend.add(names);
    worker = backend.work(
      async (name) => void drained.push(name),
      (name) => {
        told.set(name, (told.get(name) ?? 0) + 1);
        // In this very moment all of them become due again.
        if (!early && all(1)) early = backend.add(names);
      },
    );
    await until('the jobs to have left', () => all(2));
    await early;
    await backend.add(names);
    await until('each to be drained again', () => new Set(drained.slice(names.length)).size === names.length);
  });
});
