const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });

/** What turns the direction of text: a cut behind one that opens leaves the rest of the page turned around. */
const turning = /[\u2066-\u2069\u202a-\u202e]/gu;

/**
 * What closes the isolates and embeddings that a text leaves open.
 * https://www.unicode.org/reports/tr9/#Explicit_Directional_Isolates
 */
function closed(text: string): string {
  let isolates = 0;
  let embeddings = 0;
  for (const character of text.match(turning) ?? []) {
    if (character === '\u2069') isolates = Math.max(0, isolates - 1);
    else if (character >= '\u2066') isolates += 1;
    else if (character === '\u202c') embeddings = Math.max(0, embeddings - 1);
    else embeddings += 1;
  }
  return '\u202c'.repeat(embeddings) + '\u2069'.repeat(isolates);
}

/** Counts what a limit counts: code units, or bytes of UTF-8. */
interface Measure {
  of(text: string): number;
  /** How many code units of `text` fit into `max`. */
  fitting(text: string, max: number): number;
}

const chars: Measure = { of: (text) => text.length, fitting: (text, max) => Math.min(text.length, max) };

const encoder = new TextEncoder();
const bytes: Measure = {
  of: (text) => Buffer.byteLength(text),
  fitting: (text, max) => encoder.encodeInto(text, new Uint8Array(max)).read,
};

/** The longest beginning of `text` that ends between two graphemes and measures at most `max`. */
function beginning(text: string, max: number, measure: Measure): string {
  const end = measure.fitting(text, Math.max(0, Math.floor(max)));
  if (end >= text.length) return text;
  return text.slice(0, segmenter.segment(text).containing(end)?.index ?? 0);
}

/** Prefers the last line or word boundary, unless that would give up more than a fifth of what fits. */
function atBoundary(text: string): string {
  const least = text.length * 0.8;
  for (const boundary of ['\n', ' ']) {
    const at = text.lastIndexOf(boundary);
    if (at > least) return text.slice(0, at);
  }
  return text;
}

function trim(text: string, max: number, mark: string, measure: Measure): string {
  if (measure.of(text) <= max) return text;
  if (measure.of(mark) > max) return beginning(text, max, measure);
  // Closing characters need room too, and a shorter text may need more of them: each try leaves twice as much.
  const most = max - measure.of(mark);
  for (let spare = 0; spare < most; spare = spare * 2 || measure.of('\u2069')) {
    const kept = atBoundary(beginning(text, most - spare, measure)).trimEnd();
    const whole = `${kept}${closed(kept)}${mark}`;
    if (measure.of(whole) <= max) return whole;
  }
  return mark;
}

/** `text` in at most `max` UTF-16 code units, never cut inside a grapheme; what was cut ends with `mark`. */
export function trimChars(text: string, max: number, mark = '…'): string {
  return trim(text, max, mark, chars);
}

/** `text` in at most `maxBytes` bytes of UTF-8, never cut inside a grapheme; what was cut ends with `mark`. */
export function trimBytes(text: string, maxBytes: number, mark = '…'): string {
  return trim(text, maxBytes, mark, bytes);
}
