import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isUnavailable, patiently } from '../support/patiently.ts';
import { until } from '../support/until.ts';
import { startWorld, type World } from '../support/world.ts';
import { place } from './places.ts';
import { attempts, converged, deliveryAt, expectOneEach, queues, read, say, writes } from './steps.ts';

describe.each(queues)('on the %s queue', (queue) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue });
  });
  afterAll(() => world?.stop());

  test('kill -9 in the middle of a hundred broadcasts, then a start on the same data: all converge, nothing is doubled', async () => {
    const concurrency = 4;
    // A lease lasts ten seconds longer than this.
    const policy = { timeoutMs: 4_000, concurrency, backoff: { baseMs: 50, maxMs: 500 } };
    const four = await Promise.all(
      (['slack', 'teams', 'jira', 'webhook'] as const).map((kind) => place(world, kind, { policy })),
    );
    // Every destination gets so far, and then all that it has in flight is applied and never answered: nothing may be known of it.
    for (const { service, at } of four) {
      world.sandbox.misbehave(service, { do: 'swallowStall', after: 15, times: concurrency, place: at });
    }
    const titles = Array.from({ length: 100 }, (_, n) => `Broadcast ${n}.`);
    const post = async (title: string) => {
      const body = { message: { title }, destinations: four.map(({ name }) => name) };
      const ask = () => world.api('POST', '/broadcasts', body, { 'idempotency-key': title });
      const answer = await patiently(ask, isUnavailable);
      expect([200, 202]).toContain(answer.status);
      return answer.body as { id: string };
    };
    await Promise.all(titles.slice(0, 60).map(post));
    await until('every destination to be full of unanswered requests', () =>
      four.every(
        ({ service, at }) =>
          world.sandbox.requests(service).filter(({ place, fault }) => place === at && fault === 'swallowStall')
            .length === concurrency,
      ),
    );
    const interrupted = Promise.allSettled(titles.slice(60).map(post));
    await world.kill();
    await interrupted;

    await world.start();
    // As clients do that got no answer: the same request again.
    const broadcasts = await Promise.all(titles.map(post));
    expect(new Set(broadcasts.map(({ id }) => id)).size).toBe(100);
    for (const broadcast of broadcasts) expect((await converged(world, broadcast)).state).toBe('delivered');
    for (const title of titles) expectOneEach(four, title);
  });

  test('SIGTERM while attempts are in flight: they finish, it ends with 0, and nothing is sent twice', async () => {
    const both = await Promise.all([place(world, 'slack'), place(world, 'webhook')]);
    for (const { service, at } of both) world.sandbox.misbehave(service, { do: 'slow', ms: 1_500, place: at });
    const broadcast = await say(world, 'Last words', both);
    await world.sandbox.until(() => both.every((each) => writes(world, each).length === 1));
    expect(await world.end()).toBe(0);

    await world.start();
    // Finished before the end, not by whoever came after.
    const after = await read(world, broadcast);
    expect(after.state).toBe('delivered');
    for (const each of both) expect(await attempts(world, deliveryAt(after, each))).toEqual(['deliver success']);
    expectOneEach(both, 'Last words');
    expect(both.map((each) => writes(world, each).length)).toEqual([1, 1]);
  });
});
