const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });

/**
 * Isolates and embeddings left open by a cut would turn the rest of the page around: they are closed again.
 * https://www.unicode.org/reports/tr9/#Explicit_Directional_Isolates
 */
function closed(text: string): string {
  let isolates = 0;
  let embeddings = 0;
  for (const character of text.match(/[\u2066-\u2069\u202a-\u202e]/gu) ?? []) {
    if (character === '\u2069') isolates = Math.max(0, isolates - 1);
    else if (character >= '\u2066') isolates += 1;
    else if (character === '\u202c') embeddings = Math.max(0, embeddings - 1);
    else embeddings += 1;
  }
  return '\u202c'.repeat(embeddings) + '\u2069'.repeat(isolates);
}

/** The longest beginning of `text` that ends between two graphemes and measures at most `max`. */
function beginning(text: string, max: number, measure: (part: string) => number): string {
  let end = 0;
  let size = 0;
  for (const { segment } of segmenter.segment(text)) {
    size += measure(segment);
    if (size > max) break;
    end += segment.length;
  }
  return text.slice(0, end);
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

function trim(text: string, max: number, mark: string, measure: (part: string) => number): string {
  if (measure(text) <= max) return text;
  if (measure(mark) > max) return beginning(text, max, measure);
  // Every closing character needs room of its own, so that the whole is measured again after it was added.
  for (let room = max - measure(mark); room > 0; ) {
    const kept = atBoundary(beginning(text, room, measure)).trimEnd();
    const whole = `${kept}${closed(kept)}${mark}`;
    const excess = measure(whole) - max;
    if (excess <= 0) return whole;
    room -= excess;
  }
  return mark;
}

/** `text` in at most `max` UTF-16 code units, never cut inside a grapheme; what was cut ends with `mark`. */
export function trimChars(text: string, max: number, mark = '…'): string {
  return trim(text, max, mark, (part) => part.length);
}

/** `text` in at most `maxBytes` bytes of UTF-8, never cut inside a grapheme; what was cut ends with `mark`. */
export function trimBytes(text: string, maxBytes: number, mark = '…'): string {
  return trim(text, maxBytes, mark, (part) => Buffer.byteLength(part));
}
