import type { List, ListItem, PhrasingContent, Root, RootContent, Table } from 'mdast';
import { toString as textOf } from 'mdast-util-to-string';
import { shortened } from '../markdown/shorten.ts';
import { trimChars } from '../trim.ts';

/** Slack's three control characters. https://docs.slack.dev/messaging/formatting-message-text#escaping */
export function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/** A link whose address cannot end the construct it stands in. */
export function link(url: string, text: string): string {
  return anchor(url, escaped(text));
}

function anchor(url: string, label: string): string {
  const safe = url.toWellFormed().replace(/[^\x21-\x7e]|[<>|]/gu, (character) => encodeURIComponent(character));
  return `<${escaped(safe)}|${label.replace(/\s+/g, ' ')}>`;
}

/**
 * A body as Slack's own markup, in which nothing can notify anybody: `<!channel>`, `<@U…>` and their like arrive as the text they are,
 * because all text is escaped. It is cut to about `limit` bytes first: no more than that can be shown.
 */
export function mrkdwn(body: Root, limit: number): string {
  return blocks(shortened(body, limit).children, '\n\n').trim();
}

function blocks(nodes: readonly RootContent[], gap: string): string {
  return nodes
    .map(block)
    .filter((text) => text !== '')
    .join(gap);
}

function block(node: RootContent): string {
  switch (node.type) {
    case 'paragraph':
      return inline(node.children);
    case 'heading': {
      const text = inline(node.children, ['strong']);
      return text.trim() ? `*${text}*` : '';
    }
    case 'blockquote':
      return blocks(node.children, '\n\n').replace(/^(?=.)/gm, '> ');
    case 'list':
      return list(node);
    case 'code':
      return fenced(node.value);
    case 'table':
      return fenced(columns(node));
    case 'thematicBreak':
      return '———';
    default:
      return '';
  }
}

/** Three backticks would end the block: the first is kept apart from the others by a space without width. */
function fenced(text: string): string {
  return `${fence}\n${escaped(text).replaceAll(fence, '`\u200b``')}\n${fence}`;
}

function list(node: List): string {
  const first = node.start ?? 1;
  const items = node.children.map((item, at) => {
    const sign = node.ordered ? `${first + at}.` : '•';
    const text = inside(item);
    return `${sign.padEnd(3)} ${text.replace(/\n(?=.)/g, '\n    ')}`.trimEnd();
  });
  return items.join(node.spread ? '\n\n' : '\n');
}

/** Slack has no tick boxes in its markup: signs stand for them. */
function inside({ children, checked, spread }: ListItem): string {
  const text = blocks(children, spread ? '\n\n' : '\n');
  return typeof checked === 'boolean' ? `${checked ? '☑' : '☐'} ${text}` : text;
}

/** `around` says which marks apply already: Slack knows no mark within itself. */
function inline(nodes: readonly PhrasingContent[], around: readonly string[] = []): string {
  return nodes.map((node) => phrase(node, around)).join('');
}

const signs = { strong: '*', emphasis: '_', delete: '~' };

function phrase(node: PhrasingContent, around: readonly string[]): string {
  switch (node.type) {
    case 'text':
      return escaped(node.value);
    case 'inlineCode':
      // A backtick would end it.
      return node.value.includes('`') ? escaped(node.value) : `\`${escaped(node.value)}\``;
    case 'strong':
    case 'emphasis':
    case 'delete': {
      const text = inline(node.children, [...around, node.type]);
      if (around.includes(node.type) || text.trim() === '') return text;
      // Within a word Slack sees a mark only beside a space, be it one without width.
      return `\u200b${signs[node.type]}${text}${signs[node.type]}\u200b`;
    }
    case 'link':
      return anchor(node.url, inline(node.children, around));
    case 'break':
      return '\n';
    default:
      return '';
  }
}

/** A wider column is cut: a line that wraps is no table any more. Slack has no tables, so they stand in even columns as code. */
const columnLimit = 32;

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
