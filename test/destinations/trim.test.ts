import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { trimBytes, trimChars } from '../../src/destinations/trim.ts';

const family = '👩‍👩‍👧‍👦';

describe('trimming', () => {
  it('leaves alone what fits', () => {
    expect(trimChars('exactly', 7)).toBe('exactly');
    expect(trimBytes('é'.repeat(5), 10)).toBe('é'.repeat(5));
  });

  it('marks what was cut, and counts the mark', () => {
    expect(trimChars('abcdefghij', 5)).toBe('abcd…');
    expect(trimBytes('abcdefghij', 5)).toBe('ab…');
    expect(trimChars('abcdefghij', 5, '...')).toBe('ab...');
  });

  it('prefers the end of a word or a line that is near', () => {
    expect(trimChars('the quick brown fox', 17)).toBe('the quick brown…');
    expect(trimChars('first line\nand more words here', 13)).toBe('first line…');
  });

  it('cuts no grapheme in two', () => {
    expect(trimChars(family.repeat(3), family.length * 2)).toBe(`${family}…`);
    expect(trimBytes(`e\u0301${family}`, 6)).toBe('e\u0301…');
  });

  it('closes the directions that a cut left open', () => {
    expect(trimChars(`\u2067${'מ'.repeat(50)}\u2069`, 20)).toMatch(/^\u2067מ+\u2069…$/);
  });

  it('finds room for what it must close, in a few tries', () => {
    // Each character less leaves one more open.
    const text = `${'\u202e'.repeat(4_000)}${'x'.repeat(100)}${'\u202c'.repeat(4_000)}${'y'.repeat(1_000)}`;
    const segment = vi.spyOn(Intl.Segmenter.prototype, 'segment');
    const cut = trimChars(text, 8_050);
    expect(segment.mock.calls.length).toBeLessThan(20);
    segment.mockRestore();
    expect(cut.length).toBeLessThanOrEqual(8_050);
    expect(cut.split('\u202e').length).toBe(cut.split('\u202c').length);
  });

  it('never exceeds the limit and never leaves half a character, whatever the text', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 200 });
    fc.assert(
      fc.property(text, fc.integer({ min: 1, max: 120 }), (original, max) => {
        for (const cut of [trimChars(original, max), trimBytes(original, max)]) {
          expect(cut.isWellFormed()).toBe(original.isWellFormed());
        }
        expect(trimChars(original, max).length).toBeLessThanOrEqual(max);
        expect(Buffer.byteLength(trimBytes(original, max))).toBeLessThanOrEqual(max);
      }),
    );
  });
});
