import type { List, ListItem, Nodes, Paragraph, PhrasingContent, Root, RootContent, Table } from 'mdast';
import { type Handle, toMarkdown } from 'mdast-util-to-markdown';
import { toString as textOf } from 'mdast-util-to-string';
import { paragraph } from './tree.ts';

/** A stretch of a body: Markdown of the subset that cards understand, or code that must not be read as Markdown. */
export interface Stretch {
  kind: 'text' | 'code';
  text: string;
}

/**
 * A body in what cards can show: bold, italic, lists and links. Headings become bold lines, tables one list item per row, code a
 * stretch of its own. https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/cards-format
 */
export function cardStretches(body: Root): Stretch[] {
  const stretches: Stretch[] = [];
  let prose: RootContent[] = [];
  const flush = () => {
    const text = prose.length > 0 ? write({ type: 'root', children: prose }) : '';
    if (text) stretches.push({ kind: 'text', text });
    prose = [];
  };
  for (const node of body.children) {
    if (node.type === 'code') {
      flush();
      if (node.value.trim()) stretches.push({ kind: 'code', text: node.value });
    } else prose.push(...block(node));
  }
  flush();
  return stretches;
}

/** Plain text as card Markdown that shows exactly that text. */
export function cardText(text: string): string {
  return write({ type: 'root', children: [paragraph(text)] });
}

function block(node: RootContent): RootContent[] {
  switch (node.type) {
    case 'heading':
      return [{ type: 'paragraph', children: [{ type: 'strong', children: phrasing(node.children) }] }];
    case 'paragraph':
      return [{ type: 'paragraph', children: phrasing(node.children) }];
    case 'blockquote':
      // Cards know no quotes: told apart by slanting.
      return node.children.flatMap(block).map(slanted);
    case 'list':
      return [list(node)];
    case 'code':
      return [paragraph(node.value)];
    case 'table':
      return table(node);
    case 'thematicBreak':
      return [paragraph('———')];
    default:
      return [];
  }
}

function slanted(node: RootContent): RootContent {
  if (node.type !== 'paragraph' || node.children.every(({ type }) => type === 'emphasis')) return node;
  return { type: 'paragraph', children: [{ type: 'emphasis', children: node.children }] };
}

function list(node: List): List {
  const children = node.children.map((item): ListItem => {
    const inside = item.children.flatMap(block) as ListItem['children'];
    const ticked = typeof item.checked === 'boolean' ? [paragraph(item.checked ? '☑' : '☐'), ...inside] : inside;
    return { type: 'listItem', spread: false, children: joined(ticked) };
  });
  return { ...node, spread: false, children };
}

/** The tick and the text it belongs to in one line. */
function joined(children: ListItem['children']): ListItem['children'] {
  const [first, second, ...rest] = children;
  if (first?.type !== 'paragraph' || second?.type !== 'paragraph') return children;
  const mark = textOf(first);
  if (mark !== '☑' && mark !== '☐') return children;
  return [{ type: 'paragraph', children: [{ type: 'text', value: `${mark} ` }, ...second.children] }, ...rest];
}

function table(node: Table): RootContent[] {
  const [head, ...rows] = node.children;
  const names = head?.children.map((cell) => phrasing(cell.children)) ?? [];
  if (rows.length === 0) return [{ type: 'paragraph', children: names.flatMap((name) => [...name, text(' ')]) }];
  const items = rows.map((row): ListItem => {
    const cells = row.children.map((cell, index): PhrasingContent[] => {
      const name = names[index] ?? [];
      const label: PhrasingContent[] = name.length > 0 ? [{ type: 'strong', children: name }, text(': ')] : [];
      return [...label, ...phrasing(cell.children)];
    });
    const line = cells.flatMap((cell, index) => (index > 0 ? [text(', '), ...cell] : cell));
    return { type: 'listItem', spread: false, children: [{ type: 'paragraph', children: line } satisfies Paragraph] };
  });
  return [{ type: 'list', ordered: false, spread: false, children: items }];
}

/** Cards would show the marks of code and strikethrough as they are. */
function phrasing(nodes: readonly PhrasingContent[]): PhrasingContent[] {
  return nodes.flatMap((node): PhrasingContent[] => {
    if (node.type === 'inlineCode') return [text(node.value)];
    if (node.type === 'delete') return phrasing(node.children);
    if ('children' in node) return [{ ...node, children: phrasing(node.children) } as PhrasingContent];
    return [node];
  });
}

function text(value: string): PhrasingContent {
  return { type: 'text', value };
}

function write(tree: Root): string {
  const markdown = toMarkdown(tree as Nodes, {
    bullet: '-',
    emphasis: '_',
    rule: '-',
    // Nothing of GFM is left in the tree, and its marks mean nothing to a card: escaping them would show the backslashes.
    handlers: {
      // A card starts a new line only after an empty one.
      break: () => '\n\n',
      link,
    },
  });
  // The writer guards letters and blanks next to a mark with references, which cards would show as they are.
  return markdown
    .replace(/(?<!\\)&#x([0-9A-F]+);/g, (reference, code: string) => {
      const character = String.fromCodePoint(Number.parseInt(code, 16));
      return /[\p{L}\p{N}\s]/u.test(character) ? character : reference;
    })
    .replace(/\\&(?!#?[A-Za-z0-9]{1,31};)/g, '&')
    .trim();
}

/** An address is not escaped with backslashes, which some of Teams' programs would follow literally. */
const link: Handle = (node, _parent, state, info) => {
  const exit = state.enter('link');
  const exitLabel = state.enter('label');
  const label = state.containerPhrasing(node, { ...info, before: '[', after: ']' });
  exitLabel();
  exit();
  return `[${label}](${cardUrl(node.url)})`;
};

/** What would end a Markdown link early; encodeURIComponent leaves parentheses alone. */
export function cardUrl(url: string): string {
  return url.replace(
    /[()\s\\<>]/g,
    (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`,
  );
}
