import { afterAll, beforeAll, expect, test } from 'vitest';
import { startWorld, type World } from '../support/world.ts';
import { place } from './places.ts';
import { attempts, delivery, expectOneEach, read, say, writes } from './steps.ts';

// Takes as long as Slack's horizon does: a minute. Both queues would show the same; the shorter looks are shown on both elsewhere.
let world: World;
beforeAll(async () => {
  world = await startWorld({ queue: 'postgres' });
});
afterAll(() => world?.stop());

test('a message that never arrived is sent again, once, and only when it was absent past the horizon', async () => {
  const chat = await place(world, 'slack');
  world.sandbox.misbehave('slack', { do: 'drop', place: chat.at });
  const broadcast = await say(world, 'Never arrived', [chat]);
  const looking = await delivery(world, broadcast, chat, 'verifying');
  expect(looking.lastError).toMatchObject({ class: 'ambiguous' });
  await world.sandbox.until(() => chat.count('Never arrived') === 1, { timeoutMs: 120_000 });

  const it = await delivery(world, broadcast, chat, 'confirmed');
  expect(await attempts(world, it)).toEqual([
    'deliver ambiguous',
    'verify absent',
    'verify absent',
    'verify absent',
    'deliver success',
  ]);
  const [first, second, ...more] = writes(world, chat);
  expect(more).toEqual([]);
  expect(Number(second?.at) - Number(first?.at)).toBeGreaterThanOrEqual(60_000);
  expectOneEach([chat], 'Never arrived');
  expect((await read(world, broadcast)).state).toBe('delivered');
}, 240_000);
