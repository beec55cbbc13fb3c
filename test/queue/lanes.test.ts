import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evenly, type PlannedDestination, planLanes } from '../../src/queue/lanes.ts';

const destination = (name: string, rateLimit: PlannedDestination['rateLimit'] = null) => ({
  name,
  concurrency: 4,
  rateLimit,
});
const many = (count: number, rateLimit: PlannedDestination['rateLimit'] = null) =>
  Array.from({ length: count }, (_, n) => destination(`${rateLimit ? 'paced' : 'quiet'}-${n}`, rateLimit));

describe('the plan of lanes', () => {
  test('gives each destination its own while there is room', () => {
    const plans = planLanes(many(6), 10);
    expect(plans.laneOf('quiet-3')).toBe('to-quiet-3');
    expect(plans.isShared('quiet-3')).toBe(false);
    expect(plans.lanes.size).toBe(10);
  });

  test('never has more lanes than are allowed, whoever has a limit, and gives everyone one of them', () => {
    const limit = fc.option(
      fc.record({ max: fc.integer({ min: 1, max: 50 }), perMs: fc.integer({ min: 1, max: 60_000 }) }),
    );
    const all = fc.array(limit, { maxLength: 120 });
    fc.assert(
      fc.property(all, fc.integer({ min: 8, max: 60 }), (limits, most) => {
        const destinations = limits.map((rateLimit, n) => destination(`place-${n}`, rateLimit));
        const plans = planLanes(destinations, most);
        expect(plans.lanes.size).toBeLessThanOrEqual(most);
        for (const { name } of destinations) expect(plans.lanes.has(plans.laneOf(name))).toBe(true);
      }),
    );
  });

  test('lets no destination go faster than its own limit, alone or in company', () => {
    const destinations = [...many(10, { max: 1, perMs: 1_000 }), ...many(1, { max: 1, perMs: 60_000 })];
    const plans = planLanes(
      destinations.map((each, n) => ({ ...each, name: `d-${n}` })),
      8,
    );
    for (const [n, { rateLimit }] of destinations.entries()) {
      const pace = plans.lanes.get(plans.laneOf(`d-${n}`))?.pace;
      expect((pace?.max ?? 99) / (pace?.perMs ?? 1)).toBeLessThanOrEqual(
        (rateLimit?.max ?? 0) / (rateLimit?.perMs ?? 1),
      );
    }
  });

  test('keeps those without a limit out of lanes that have one', () => {
    const plans = planLanes([...many(20), ...many(20, { max: 1, perMs: 1_000 })], 12);
    for (let n = 0; n < 20; n++) expect(plans.lanes.get(plans.laneOf(`quiet-${n}`))?.pace).toBeNull();
  });

  test('puts a callback receiver always into the same lane, which others share', () => {
    const plans = planLanes([], 10);
    expect(plans.laneOf('callback:a.example')).toBe(plans.laneOf('callback:a.example'));
    expect(plans.isShared('callback:a.example')).toBe(true);
  });
});

describe('a rate limit in even steps', () => {
  test('is one at a time where there is time for it', () => {
    expect(evenly({ max: 1, perMs: 1_000 })).toEqual({ max: 1, perMs: 1_000 });
    expect(evenly({ max: 5, perMs: 1_000 })).toEqual({ max: 1, perMs: 200 });
    expect(evenly({ max: 120, perMs: 60_000 })).toEqual({ max: 1, perMs: 500 });
  });

  test('lets no span of the limit see more than the limit, wherever it begins', () => {
    const limit = fc.record({ max: fc.integer({ min: 1, max: 5_000 }), perMs: fc.integer({ min: 200, max: 60_000 }) });
    fc.assert(
      fc.property(limit, ({ max, perMs }) => {
        const step = evenly({ max, perMs });
        // A span that begins just before a step ends touches one step more than it holds; a single job a step is evenly apart.
        const touched =
          step.max === 1 && perMs / max >= 50 ? Math.ceil(perMs / step.perMs) : Math.ceil(perMs / step.perMs) + 1;
        expect(touched * step.max).toBeLessThanOrEqual(Math.max(max, touched));
      }),
    );
  });

  test('wastes little of what is allowed', () => {
    const used = (limit: number) => {
      const { max, perMs } = evenly({ max: limit, perMs: 1_000 });
      return (max * 1_000) / perMs / limit;
    };
    for (const limit of [12, 15, 20, 30, 50, 80, 200, 1_000])
      expect([limit, used(limit) >= 0.85]).toEqual([limit, true]);
  });
});
