import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startWorld, type World } from '../support/world.ts';
import { place } from './places.ts';
import { attempts, converged, delivery, deliveryAt, expectOneEach, queues, say, writes } from './steps.ts';

describe.each(queues)('on the %s queue', (queue) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue });
  });
  afterAll(() => world?.stop());

  test.concurrent.each(['slack', 'teams', 'jira'] as const)(
    '%s takes the message and the line drops: it is found there, and nothing is sent again',
    async (kind) => {
      const chat = await place(world, kind);
      world.sandbox.misbehave(chat.service, { do: 'swallow', place: chat.at });
      const after = await converged(world, await say(world, `Lost reply of ${kind}`, [chat]));
      expect(after.state).toBe('delivered');
      const it = deliveryAt(after, chat);
      expect(await attempts(world, it)).toEqual(['deliver ambiguous', 'verify landed']);
      expect(it.receipt).not.toBeNull();
      expectOneEach([chat], `Lost reply of ${kind}`);
    },
  );

  test.concurrent('a look that fails is repeated, and still nothing is sent again', async () => {
    const chat = await place(world, 'slack');
    world.sandbox.misbehave('slack', { do: 'swallow', place: chat.at }, { do: 'drop', on: 'read', place: chat.at });
    const after = await converged(world, await say(world, 'Twice unlucky', [chat]));
    expect(await attempts(world, deliveryAt(after, chat))).toEqual([
      'deliver ambiguous',
      'verify unclear',
      'verify landed',
    ]);
    expectOneEach([chat], 'Twice unlucky');
  });

  test.concurrent('a 500 after the message was posted is no reason to post it again', async () => {
    const chat = await place(world, 'teams');
    world.sandbox.misbehave('graph', { do: 'failAfterApply', status: 502, place: chat.at });
    const after = await converged(world, await say(world, 'Applied all the same', [chat]));
    expect(await attempts(world, deliveryAt(after, chat))).toEqual(['deliver ambiguous', 'verify landed']);
    expectOneEach([chat], 'Applied all the same');
  });

  test.concurrent.each(['email', 'teams-workflow'] as const)(
    'nobody can tell what became of a lost %s: unknown, until a person sends it again, once',
    async (kind) => {
      const blind = await place(world, kind);
      world.sandbox.misbehave(blind.service, { do: 'swallow', place: blind.at });
      const title = `Perhaps by ${kind}`;
      const broadcast = await say(world, title, [blind]);
      const before = await converged(world, broadcast);
      expect(before.state).toBe('failed');
      const it = deliveryAt(before, blind);
      expect(it).toMatchObject({ state: 'unknown', lastError: { class: 'ambiguous' } });
      expect(writes(world, blind)).toHaveLength(1);
      const { body: parked } = await world.api('GET', `/deliveries?state=unknown&destination=${blind.name}`);
      expect(parked.items).toMatchObject([{ id: it.id }]);

      // Pressing twice does it once.
      const presses = await Promise.all([1, 2].map(() => world.api('POST', `/deliveries/${it.id}/retry`)));
      expect(presses.map(({ status }) => status < 500)).toEqual([true, true]);
      await delivery(world, broadcast, blind, 'confirmed');
      expect((await converged(world, broadcast)).state).toBe('delivered');
      expect(await attempts(world, it)).toEqual(['deliver ambiguous', 'deliver success']);
      expect(blind.count(title)).toBe(2);
    },
  );

  test.concurrent('a destination that would rather hear twice than never opts into being sent again', async () => {
    const policy = { onUnknown: 'resend', backoff: { baseMs: 50, maxMs: 200 } };
    const blind = await place(world, 'teams-workflow', { policy });
    world.sandbox.misbehave('workflow', { do: 'drop', place: blind.at });
    const after = await converged(world, await say(world, 'Rather twice', [blind]));
    expect(after.state).toBe('delivered');
    expect(await attempts(world, deliveryAt(after, blind))).toEqual(['deliver ambiguous', 'deliver success']);
    expectOneEach([blind], 'Rather twice');
  });

  test.concurrent('a webhook whose reply was lost is repeated under the same id, so that the receiver can drop it', async () => {
    const hook = await place(world, 'webhook', { policy: { backoff: { baseMs: 50, maxMs: 200 } } });
    const pager = await place(world, 'pagerduty', { policy: { backoff: { baseMs: 50, maxMs: 200 } } });
    for (const { service, at } of [hook, pager]) world.sandbox.misbehave(service, { do: 'swallow', place: at });
    const after = await converged(world, await say(world, 'Same key', [hook, pager]));
    expect(after.state).toBe('delivered');
    expect([hook, pager].map((each) => writes(world, each).length)).toEqual([2, 2]);
    expectOneEach([hook, pager], 'Same key');
  });
});
