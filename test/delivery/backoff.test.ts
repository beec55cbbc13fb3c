import fc from 'fast-check';
import { expect, test } from 'vitest';
import { backoffMs, rateLimitMs } from '../../src/delivery/backoff.ts';

const backoff = { baseMs: 1_000, maxMs: 30_000 };
const most = (tries: number) => backoffMs(backoff, tries, () => 1);

test('the longest wait doubles with each try until it reaches the maximum', () => {
  expect([1, 2, 3, 4, 5, 6, 7].map(most)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
});

test('the wait is anywhere between nothing and the longest, so that what fails together does not come back together', () => {
  expect([0, 0.25, 0.5, 0.999].map((dice) => backoffMs(backoff, 3, () => dice))).toEqual([0, 1_000, 2_000, 3_996]);
});

test('no number of tries makes a wait that is not a number or longer than the maximum', () => {
  fc.assert(
    fc.property(
      fc.record({ baseMs: fc.integer({ min: 1, max: 3_600_000 }), maxMs: fc.integer({ min: 1, max: 86_400_000 }) }),
      fc.integer({ min: 1, max: 1_000_000 }),
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      (any, tries, dice) => {
        const wait = backoffMs(any, tries, () => dice);
        expect(Number.isInteger(wait)).toBe(true);
        expect(wait).toBeGreaterThanOrEqual(0);
        expect(wait).toBeLessThanOrEqual(any.maxMs);
      },
    ),
    { seed: 1 },
  );
});

test('after a rate limit nobody returns earlier than asked, and at most a tenth later', () => {
  expect(rateLimitMs(20_000, 0, () => 0)).toBe(20_000);
  expect(rateLimitMs(20_000, 0, () => 0.5)).toBe(21_000);
  expect(rateLimitMs(20_000, 0, () => 0.999_999)).toBe(22_000);
});

test('a rate limit that names no time waits for thirty seconds', () => {
  expect(rateLimitMs(null, 0, () => 0)).toBe(30_000);
});

test('no service can park a delivery for longer than an hour and its jitter', () => {
  expect(rateLimitMs(Number.MAX_SAFE_INTEGER, 0, () => 0)).toBe(3_600_000);
  expect(rateLimitMs(Number.POSITIVE_INFINITY, 0, () => 1)).toBe(3_960_000);
});

test('a service that asks for no wait, or names a time that has passed, is left alone for a second all the same', () => {
  expect(rateLimitMs(-5_000, 0, () => 0)).toBe(1_000);
  expect(rateLimitMs(0, 0, () => 0.5)).toBe(1_050);
});

test('the longer it goes on refusing, the less often it is asked, up to once a minute', () => {
  expect([4, 40, 200, 240, 3_600].map((seconds) => rateLimitMs(0, seconds * 1_000, () => 0))).toEqual([
    1_000, 10_000, 50_000, 60_000, 60_000,
  ]);
  expect(rateLimitMs(90_000, 3_600_000, () => 0)).toBe(90_000);
});
