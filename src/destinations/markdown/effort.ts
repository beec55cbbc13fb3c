/** What may open or close emphasis. Underscores within a word may not. */
const marks = /\*+|~+|(?<![\p{L}\p{N}_])_+|(?<=[\p{L}\p{N}])_+(?![\p{L}\p{N}_])/gu;
const brackets = /[[\]]/g;
/** What begins a comment, an instruction or a declaration: each is searched for its end. */
const openings = /<[!?]/g;
/** An address without a scheme's brackets. What may stand at its end is read again at every such character. */
const address = /(?:www\.|https?:\/\/)\S+/gi;
const trailing = /[!"'*,.:;?_~&)\]]/g;

/** The containers that a line begins with: quotes, list items, footnotes. */
const containers = /^(?:[ \t]*(?:>|(?:[-+*]|\d{1,9}[.)])(?=[ \t]|$)|\[\^[^\]\s]{1,999}\]:))+/;
const container = />|[-+*](?=[ \t]|$)|\d[.)]|\[\^/g;
const underline = /^[ \t]*(?:=+|-+)[ \t]*$/;

/** What the parser's slow parts cost, in steps of about a nanosecond. Measured, and rounded up. */
const cost = { pair: 250, bracket: 12, search: 15, trail: 30, line: 100, indent: 70 };

/** More steps than this are not worth taking: about a third of a second on a busy machine. */
export const effortLimit = 400e6;

/**
 * How much work a CommonMark text is for the parser, beyond what grows with its length alone. Counted in one pass, and by the text
 * alone: the same text is judged alike in every process, however busy it is.
 */
export function effort(markdown: string): number {
  let steps = rereading(markdown.split('\n'));
  for (const paragraph of markdown.split(/\n[ \t]*\n/)) {
    steps += cost.pair * count(paragraph, marks) ** 2;
    steps += cost.bracket * count(paragraph, brackets) ** 2;
    steps += cost.search * count(paragraph, openings) * paragraph.length;
  }
  for (const [found] of markdown.matchAll(address)) steps += cost.trail * count(found, trailing) ** 2;
  return steps;
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}

/**
 * Lines are read again for each container that begins anew, each line that goes on in one without its sign, each underline, and each
 * item that is indented otherwise than the last.
 */
function rereading(lines: readonly string[]): number {
  let begun = 0;
  let indented = 0;
  let indent = 0;
  let last = { isQuote: false, isBlank: true, depth: 0, isInside: false };
  for (const line of lines) {
    const prefix = containers.exec(line)?.[0] ?? '';
    const depth = count(prefix, container);
    const isQuote = prefix.includes('>');
    const isBlank = line.trim() === '';
    const isIndented = /^(?: {2}|\t)/.test(line);
    if (depth > 1 || (isQuote && !last.isQuote) || (depth > 0 && !last.isInside)) begun += depth;
    else if (underline.test(line)) begun += 1;
    else if (depth === 0 && !isBlank && last.depth > 0) begun += 1;
    if (depth > 0) {
      const at = prefix.search(/\S/);
      if (at !== indent) indented += 1;
      indent = at;
    }
    const isInside = depth > 0 || (last.isInside && (isBlank || isIndented));
    // A line without a sign goes on in the paragraph of the container before it, until a blank line ends that.
    last = { isQuote, isBlank, isInside, depth: depth > 0 ? depth : isBlank ? 0 : last.depth };
  }
  return (cost.line * begun + cost.indent * indented) * lines.length;
}
