import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { redisAvailable } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { startWorld, type World } from '../support/world.ts';
import { place } from './places.ts';
import { attempts, converged, deliveryAt, expectOneEach, queues, read, say, writes } from './steps.ts';

// One after the other: each takes away something that all of them need.
const quick = { backoff: { baseMs: 50, maxMs: 200 } };

describe.each(queues)('PostgreSQL away, on the %s queue', (queue) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue });
  });
  afterAll(() => world?.stop());

  test('a broadcast that cannot be recorded is refused with 503, and all goes on by itself afterwards', async () => {
    const chat = await place(world, 'slack', { policy: quick });
    const headers = { 'idempotency-key': 'while-the-database-was-away' };
    const body = { message: { title: 'Into the void' }, destinations: [chat.name] };
    world.databaseLine.cut();
    const refused = await world.api('POST', '/broadcasts', body, headers);
    expect(refused.status).toBe(503);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
    expect(refused.body).toMatchObject({ status: 503, correlationId: expect.any(String) });
    const ready = await world.api('GET', '/readyz');
    expect([ready.status, ready.body.unreachable]).toEqual([503, expect.arrayContaining(['database'])]);
    expect((await world.api('GET', '/healthz')).status).toBe(200);

    world.databaseLine.heal();
    await until('the API to read again', async () => (await world.api('GET', '/broadcasts')).status === 200);
    const { body: listed } = await world.api('GET', `/broadcasts?destination=${chat.name}`);
    expect(listed.items).toEqual([]);
    const again = await world.api('POST', '/broadcasts', body, headers);
    expect(again.status).toBe(202);
    expect((await converged(world, again.body)).state).toBe('delivered');
    expectOneEach([chat], 'Into the void');
  });

  test('defect 2: an outcome that cannot be written after a 2xx is written later, and nothing is sent again', async () => {
    const both = await Promise.all([
      place(world, 'slack', { policy: quick }),
      place(world, 'webhook', { policy: quick }),
    ]);
    for (const { service, at } of both) world.sandbox.misbehave(service, { do: 'slow', ms: 4_000, place: at });
    const broadcast = await say(world, 'Done but not noted', both);
    await world.sandbox.until(() => both.every((each) => writes(world, each).length === 1));
    world.databaseLine.cut();
    await until('both outcomes to be known and unwritten', () => {
      const unwritten = world
        .logs()
        .split('\n')
        .filter((line) => line.includes('an outcome could not be settled'));
      return broadcast.deliveries.every(({ id }) => unwritten.some((line) => line.includes(id)));
    });
    world.databaseLine.heal();
    expect((await converged(world, broadcast)).state).toBe('delivered');
    for (const it of (await read(world, broadcast)).deliveries) {
      expect(await attempts(world, it)).toEqual(['deliver success']);
    }
    expect(both.map((each) => writes(world, each).length)).toEqual([1, 1]);
  });
});

describe.skipIf(!redisAvailable())('Redis away', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue: 'redis' });
  });
  afterAll(() => world?.stop());

  test('defects 1 and 9: accepted while Redis is down, delivered once it is back, without a restart of ours', async () => {
    const three = await Promise.all([place(world, 'slack'), place(world, 'teams'), place(world, 'webhook')]);
    await converged(world, await say(world, 'Before', three));
    await world.redis?.kill();
    const body = { message: { title: 'Meanwhile' }, destinations: three.map(({ name }) => name) };
    const headers = { 'idempotency-key': 'while-redis-was-away' };
    const accepted = await world.api('POST', '/broadcasts', body, headers);
    expect(accepted.status).toBe(202);
    const replayed = await world.api('POST', '/broadcasts', body, headers);
    expect([replayed.status, replayed.body.id, replayed.headers['idempotent-replayed']]).toEqual([
      200,
      accepted.body.id,
      'true',
    ]);
    const ready = await world.api('GET', '/readyz');
    expect(ready).toMatchObject({ status: 200, body: { status: 'degraded', unreachable: ['queue'] } });
    await world.redis?.start();
    expect((await converged(world, accepted.body)).state).toBe('delivered');
    expectOneEach(three, 'Meanwhile');
  });

  test('a destination that is made while Redis is down is delivered to once it is back', async () => {
    await world.redis?.kill();
    const chat = await place(world, 'slack', { policy: quick });
    const broadcast = await say(world, 'A new place', [chat]);
    await until('the queue to be asked in vain', () =>
      world
        .logs()
        .split('\n')
        .some((line) => line.includes('the queue takes no jobs')),
    );
    await world.redis?.start();
    expect((await converged(world, broadcast)).state).toBe('delivered');
    expectOneEach([chat], 'A new place');
  });

  test('a start without Redis accepts, and delivers once Redis is there', async () => {
    const chat = await place(world, 'slack', { policy: quick });
    expect(await world.end()).toBe(0);
    await world.redis?.kill();
    await world.start();
    const callback = { url: world.sandbox.addresses.webhookUrl('late-redis') };
    const broadcast = await say(world, 'Accepted early', [chat], { callback });
    await world.redis?.start();
    expect((await converged(world, broadcast)).state).toBe('delivered');
    expectOneEach([chat], 'Accepted early');
    await world.sandbox.until(() => world.sandbox.webhook.deliveries('late-redis').length === 1);
  });

  test('defect 4: a retry that the queue could not take is not stranded', async () => {
    const hook = await place(world, 'webhook', { policy: { ...quick, timeoutMs: 1_500 } });
    world.sandbox.misbehave('webhook', { do: 'stall', place: hook.at });
    const broadcast = await say(world, 'No room for a retry', [hook]);
    await world.sandbox.until(() => writes(world, hook).length === 1);
    await world.redis?.kill();
    // A drainer that has the destination's job already may even make the retry meanwhile.
    await until(
      'the first attempt to be settled',
      async () => deliveryAt(await read(world, broadcast), hook).state !== 'sending',
    );
    await world.redis?.start();
    expect((await converged(world, broadcast)).state).toBe('delivered');
    expectOneEach([hook], 'No room for a retry');
  });

  test('Redis is emptied while deliveries wait for their time, for their turn and for an answer: all converge', async () => {
    const [limited, busy] = await Promise.all([
      place(world, 'slack'),
      place(world, 'webhook', { policy: { ...quick, concurrency: 1 } }),
    ]);
    world.sandbox.misbehave('slack', { do: 'rateLimit', retryAfter: 2, place: limited.at });
    world.sandbox.misbehave('webhook', { do: 'slow', ms: 2_000, place: busy.at });
    const broadcasts = await Promise.all([1, 2, 3].map((n) => say(world, `Emptied ${n}.`, [limited, busy])));
    await world.sandbox.until(() => writes(world, limited).length >= 1 && writes(world, busy).length === 1);
    await world.redis?.flush();
    for (const broadcast of broadcasts) {
      const after = await converged(world, broadcast);
      expect([after.state, deliveryAt(after, busy).attempt]).toEqual(['delivered', 1]);
    }
    for (const n of [1, 2, 3]) expectOneEach([limited, busy], `Emptied ${n}.`);
  });
});
