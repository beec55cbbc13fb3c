import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { evenly } from '../../src/queue/pace.ts';

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
