import { describe, expect, it } from 'vitest';
import { retryAfterMs } from '../../src/destinations/retry-after.ts';

const now = Date.parse('2026-11-20T14:00:00Z');

describe('Retry-After', () => {
  it.each([
    ['7', 7_000],
    ['0', 0],
    [' 30 ', 30_000],
    ['1.5', 1_500],
    ['Fri, 20 Nov 2026 14:01:00 GMT', 60_000],
    ['Friday, 20-Nov-26 14:01:00 GMT', 60_000],
    ['Fri, 20 Nov 2026 13:00:00 GMT', 0],
    ['', null],
    ['-5', null],
    ['soon', null],
    ['7 seconds', null],
    ['99999999999999', null],
    [undefined, null],
    [null, null],
  ])('of %o asks for %o ms', (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected);
  });
});
