import { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RedisServer, redisAvailable, startRedis, startRedisCluster } from './redis.ts';
import { until } from './until.ts';

describe.skipIf(!redisAvailable())('redis', () => {
  let server: RedisServer;
  let client: Redis;

  beforeAll(async () => {
    server = await startRedis();
    client = new Redis(server.url, { retryStrategy: () => 20 });
    client.on('error', () => {});
  });

  afterAll(async () => {
    client?.disconnect();
    await server?.stop();
  });

  test('refuses writes rather than forget, and writes down what it was told', async () => {
    expect(await client.config('GET', 'maxmemory-policy')).toContain('noeviction');
    expect(await client.config('GET', 'appendfsync')).toContain('everysec');
    expect(await client.config('GET', 'appendonly')).toContain('yes');
  });

  test('a killed one starts again on the same port with what it knew', async () => {
    await client.set('known', 'yes');
    await server.kill();
    const late = new Redis(server.url, { lazyConnect: true, retryStrategy: () => null });
    late.on('error', () => {});
    await expect(late.connect()).rejects.toThrow();
    await server.start();
    expect(await until('the old connection to come back', () => client.get('known'))).toBe('yes');
  });

  test('a flush forgets everything', async () => {
    await client.set('known', 'yes');
    await server.flush();
    expect(await client.dbsize()).toBe(0);
  });

  test('without an append-only file a kill loses everything', async () => {
    const forgetful = await startRedis({ appendonly: false });
    try {
      const own = new Redis(forgetful.url);
      await own.set('known', 'yes');
      own.disconnect();
      await forgetful.kill();
      await forgetful.start();
      const again = new Redis(forgetful.url);
      expect(await again.dbsize()).toBe(0);
      again.disconnect();
    } finally {
      await forgetful.stop();
    }
  });

  test('a cluster takes every key, spread over its nodes', async () => {
    const cluster = await startRedisCluster();
    const client = new Cluster(cluster.nodes.map(({ port }) => ({ host: '127.0.0.1', port })));
    try {
      for (let i = 0; i < 60; i++) await client.set(`key-${i}`, i);
      const sizes = await Promise.all(client.nodes('master').map((node) => node.dbsize()));
      expect(sizes.length).toBe(3);
      expect(Math.min(...sizes)).toBeGreaterThan(0);
      expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(60);
    } finally {
      client.disconnect();
      await cluster.stop();
    }
  });
});
