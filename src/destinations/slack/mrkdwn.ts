import type { Root, RootContent, Table } from 'mdast';
import { gfmToMarkdown } from 'mdast-util-gfm';
import { toMarkdown } from 'mdast-util-to-markdown';
import { toString as textOf } from 'mdast-util-to-string';
import { slackifyMarkdown } from 'slackify-markdown';
import { parse } from '../markdown/tree.ts';
import { trimChars } from '../trim.ts';

/** Slack's three control characters. https://docs.slack.dev/messaging/formatting-message-text#escaping */
export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** A link whose address cannot end the construct it stands in. */
export function link(url: string, text: string): string {
  const safe = escaped(url.replace(/[\s<>|]/g, (character) => encodeURIComponent(character)));
  return `<${safe}|${escaped(text.replace(/\s+/g, ' '))}>`;
}

const code = /(```[\s\S]*?```|`[^`\n]+`)/;
const control = /^(?:> )+|<((?:https?|ftp|mailto):[^\s<>|]+)(?:\|([^<>]*))?>|[<>]|&(?!(?:amp|lt|gt);)/gm;

/**
 * Lets links through and nothing else: `<!channel>`, `<@U…>` and their like arrive as the text they are. slackify-markdown means to
 * keep mentions, and passes HTML, code and the addresses of links on unescaped, so that its output is not to be trusted here.
 */
function seal(mrkdwn: string): string {
  const parts = mrkdwn.split(code).map((part, index) => {
    if (index % 2 === 1) return escaped(part);
    return part
      .replace(control, (found, url: string | undefined, label: string | undefined) => {
        if (url !== undefined) return label ? `<${amp(url)}|${amp(label)}>` : `<${amp(url)}>`;
        return found.startsWith('> ') ? found : escaped(found);
      })
      .replace(/\\\n/g, '\n')
      .replace(/^\*\*\*$/gm, '———');
  });
  return parts.join('').trim();
}

/** A wider column is cut: a line that wraps is no table any more. */
const columnLimit = 32;

/** Slack has neither tables nor tick boxes in its markup: the former stand in even columns as code, the latter as signs. */
function plainer(nodes: readonly RootContent[]): RootContent[] {
  return nodes.map((node): RootContent => {
    if (node.type === 'table') return { type: 'code', value: columns(node) };
    if (node.type === 'blockquote') return { ...node, children: plainer(node.children) as typeof node.children };
    if (node.type !== 'list') return node;
    const children = node.children.map(({ checked, ...item }) => {
      const inside = plainer(item.children) as typeof item.children;
      const [first, ...rest] = inside;
      if (typeof checked !== 'boolean' || first?.type !== 'paragraph') return { ...item, children: inside };
      const sign = { type: 'text' as const, value: checked ? '☑ ' : '☐ ' };
      return { ...item, children: [{ ...first, children: [sign, ...first.children] }, ...rest] };
    });
    return { ...node, children };
  });
}

function columns(table: Table): string {
  const rows = table.children.map((row) => row.children.map((cell) => trimChars(textOf(cell), columnLimit)));
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const isRight = (at: number) => table.align?.[at] === 'right';
  const lines = rows.map((row) =>
    widths
      .map((width, at) => (isRight(at) ? (row[at] ?? '').padStart(width) : (row[at] ?? '').padEnd(width)))
      .join('  '),
  );
  return lines.map((line) => line.trimEnd()).join('\n');
}

function amp(text: string): string {
  return text.replace(/&(?!(?:amp|lt|gt);)/g, '&amp;');
}

/**
 * CommonMark as Slack's own markup, in which nothing can notify anybody. The source is cut to `limit` characters first: no more than that
 * can be shown, and the parser's time grows with the square of what a hostile text can be.
 */
export function mrkdwn(markdown: string, limit: number): string {
  const source = trimChars(markdown, limit);
  try {
    const tree = parse(source);
    const simple: Root = { ...tree, children: plainer(tree.children) };
    return seal(slackifyMarkdown(toMarkdown(simple, { extensions: [gfmToMarkdown()] })));
  } catch {
    // It throws on addresses with a stray per cent sign and on absurdly deep nesting; the words are still worth having.
    return escaped(source);
  }
}

const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });
const fence = '```';

/** What must not be cut in two: a link, an escaped character, and otherwise a grapheme. */
function* atoms(line: string): Generator<string> {
  for (const part of line.split(/(<[^<>]*>|&(?:amp|lt|gt);)/)) {
    if (/^(<|&(?:amp|lt|gt);$)/.test(part)) yield part;
    else for (const { segment } of segmenter.segment(part)) yield segment;
  }
}

/** Lines of at most `size` characters; a longer one continues on the next. */
function* lines(text: string, size: number): Generator<string> {
  for (const line of text.split('\n')) {
    let piece = '';
    for (const atom of line.length > size ? atoms(line) : [line]) {
      if (piece.length + atom.length > size && piece) {
        yield piece;
        piece = '';
      }
      piece += atom.length > size ? '…' : atom;
    }
    yield piece;
  }
}

/**
 * Slack markup in pieces of at most `size` characters, `total` together, cut between lines where that is possible. A code block that is
 * cut is closed and opened again, and what does not fit is marked by an ellipsis.
 */
export function pieces(text: string, size: number, total: number): string[] {
  // Room for a fence at either end, and the ellipsis.
  const room = Math.min(size, total) - 2 * (fence.length + 1) - 1;
  const done: string[] = [];
  let piece = '';
  let fenced = false;
  let spent = 0;
  const finish = () => {
    done.push(fenced ? `${piece}\n${fence}` : piece);
    spent += done.at(-1)?.length ?? 0;
    piece = fenced ? fence : '';
  };
  for (const line of lines(text, room)) {
    if (piece && piece.length + 1 + line.length > room + fence.length + 1) finish();
    if (spent + piece.length + line.length > total - 3 * fence.length) {
      if (piece && piece !== fence) {
        piece += '…';
        finish();
      } else if (done.length > 0) {
        done[done.length - 1] += '…';
      }
      return done;
    }
    piece = piece ? `${piece}\n${line}` : line;
    if ((line.split(fence).length - 1) % 2 === 1) fenced = !fenced;
  }
  if (piece.trim()) finish();
  return done.filter((each) => each.trim());
}
