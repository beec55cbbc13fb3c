const isolates = '\u2066\u2067\u2068';
const embeddings = '\u202a\u202b\u202d\u202e';
const endOfIsolate = '\u2069';
const endOfEmbedding = '\u202c';

/**
 * Drops what would turn the direction of the text that follows, the service's own words included: marks that begin an embedding, an override or
 * an isolate and are never ended, and ends of nothing. Pairs stay. https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings
 */
export function closedBidi(text: string): string {
  const open: number[] = [];
  const dropped = new Set<number>();
  for (let at = 0; at < text.length; at += 1) {
    const mark = text[at] ?? '';
    if (isolates.includes(mark) || embeddings.includes(mark)) open.push(at);
    else if (mark === endOfEmbedding) {
      const last = open.at(-1);
      if (last !== undefined && embeddings.includes(text[last] ?? '')) open.pop();
      else dropped.add(at);
    } else if (mark === endOfIsolate) {
      const begun = open.findLastIndex((each) => isolates.includes(text[each] ?? ''));
      // It ends the embeddings within as well.
      if (begun >= 0) open.length = begun;
      else dropped.add(at);
    }
  }
  for (const at of open) dropped.add(at);
  if (dropped.size === 0) return text;
  return [...Array(text.length).keys()]
    .filter((at) => !dropped.has(at))
    .map((at) => text[at])
    .join('');
}
