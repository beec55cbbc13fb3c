import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Fault } from '../../sandbox/index.ts';
import { createRandom } from '../chaos/random.ts';
import { startWorld, type World } from '../support/world.ts';
import { type Place, place } from './places.ts';
import { type Broadcast, converged, read, say, writes } from './steps.ts';

const seed = Number(process.env.STORM_SEED ?? 20_261_120);
const rounds = 10;

/** What may go wrong with an edit, or with a repeated send: applied and not told, told and not applied, slow, refused for now. */
const faults: readonly Fault[] = [
  { do: 'rateLimit', retryAfter: 0 },
  { do: 'rateLimit', retryAfter: 1 },
  { do: 'swallow' },
  { do: 'failAfterApply', status: 500 },
  { do: 'refuse', status: 503 },
  { do: 'drop' },
  { do: 'slow', ms: 250 },
  { do: 'swallowStall' },
];

/**
 * A message that may never have landed is looked for on its service's own clock, for minutes: the first send only meets faults after which
 * it is there. `late`, a request that is applied after newer ones were answered, is left out, because no service offers a way to prevent it.
 */
const faultsAtFirst: readonly Fault[] = [
  { do: 'rateLimit', retryAfter: 1 },
  { do: 'swallow' },
  { do: 'failAfterApply', status: 500 },
  { do: 'slow', ms: 250 },
];

describe(`random revisions during faults (STORM_SEED=${seed})`, () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue: 'postgres' });
  });
  afterAll(() => world?.stop());

  test('leave the newest text visible at each place, once, and say at every moment what is there', async () => {
    const random = createRandom(seed, 'storm');
    const policy = { maxAttempts: 100, timeoutMs: 500, backoff: { baseMs: 20, maxMs: 200 } };
    const kinds = ['slack', 'teams', 'jira', 'pagerduty', 'webhook'] as const;
    const places = await Promise.all(kinds.map((kind) => place(world, kind, { policy })));
    const edited = places.filter(({ service }) => service !== 'webhook');
    const hook = places.at(-1) as Place;
    const titles = [''];
    const confirmed = new Map<string, number>();

    function isTrue({ revision, deliveries }: Broadcast): void {
      for (const each of deliveries) {
        expect(each.revision.desired, JSON.stringify(each)).toBe(revision);
        expect(each.revision.confirmed).toBeLessThanOrEqual(each.revision.desired);
        expect(each.revision.confirmed).toBeGreaterThanOrEqual(confirmed.get(each.id) ?? 0);
        confirmed.set(each.id, each.revision.confirmed);
        if (each.state === 'confirmed') expect(each.revision.confirmed).toBe(each.revision.desired);
      }
    }

    /** Nobody else revises: between an answer and the next revision what is confirmed is what stands there. */
    function isVisible(broadcast: Broadcast): void {
      const newest = titles[broadcast.revision] as string;
      for (const [index, each] of broadcast.deliveries.entries()) {
        const where = places[index] as Place;
        if (each.state !== 'confirmed') continue;
        if (where === hook) expect(Math.max(...told(hook))).toBe(broadcast.revision);
        else expect(where.seen(), where.name).toEqual([expect.stringContaining(newest)]);
      }
    }

    const told = (where: Place) => where.seen().map((text) => JSON.parse(text).data.revision as number);
    const upset = (kinds: readonly Fault[], most: number) => {
      // Not on top of what is left: five in a row open a breaker, which then waits longer each time.
      world.sandbox.behave();
      for (const { service, at } of places)
        for (let n = random.int(0, most); n > 0; n -= 1)
          world.sandbox.misbehave(service, { ...random.pick(kinds), place: at });
    };

    upset(faultsAtFirst, 1);
    titles.push('Text 1.');
    const broadcast = await say(world, 'Text 1.', places);
    for (let round = 0; round < rounds; round += 1) {
      for (let n = random.int(1, 4); n > 0; n -= 1) {
        const title = `Text ${titles.length}.`;
        titles.push(title);
        const { status, body } = await world.api('PATCH', `/broadcasts/${broadcast.id}`, { message: { title } });
        expect([status, body.revision]).toEqual([202, titles.length - 1]);
        isTrue(body);
      }
      if (round === 4) {
        const before = edited.map((each) => writes(world, each).length);
        await world.sandbox.until(() =>
          edited.some((each, index) => writes(world, each).length > (before[index] ?? 0)),
        );
        await world.kill();
        await world.start();
      }
      if (random.chance(0.4)) isVisible(await converged(world, broadcast));
      const now = await read(world, broadcast);
      isTrue(now);
      isVisible(now);
      // Only what is there already is edited; before that, nothing more goes wrong.
      if (now.deliveries.every((each) => each.revision.confirmed > 0)) upset(faults, 2);
    }

    const after = await converged(world, broadcast);
    isTrue(after);
    expect(after.state).toBe('delivered');
    isVisible(after);
    const revisions = told(hook);
    expect(revisions).toEqual([...new Set(revisions)].sort((one, other) => one - other));
  }, 240_000);
});
