import type {
  BlockContent,
  Definition,
  Link,
  Nodes,
  Paragraph,
  PhrasingContent,
  Root,
  RootContent,
  TableRow,
  Text,
} from 'mdast';
import { fromMarkdown } from 'mdast-util-from-markdown';
import { gfmFromMarkdown } from 'mdast-util-gfm';
import { toString as textOf } from 'mdast-util-to-string';
import { gfm } from 'micromark-extension-gfm';
import { effort, effortLimit } from './effort.ts';

/** Deeper nesting than this reads badly everywhere and is refused by some services; it becomes plain text. */
const depthLimit = 6;

/** A wider table is none that anybody could read. */
const columnLimit = 30;

/** A line of 32,000 `>` overflows the stack of every walker of the tree: the signs after the eighth are left out. */
const containers =
  /^((?:[ \t]*(?:>|(?:[-+*]|\d{1,9}[.)])(?=[ \t]))){8})(?:[ \t]*(?:>|(?:[-+*]|\d{1,9}[.)])(?=[ \t])))+/gm;

const harmlessUrl = /^(https?:\/\/|mailto:)/i;

/**
 * CommonMark (with tables and strikethrough) as a tree in which nothing is left that a destination could mistake for its own:
 * raw HTML is the text that was written, an image is a link to it, a link to anything but http, https and mailto is its text,
 * and references are resolved. Never throws. A text that takes the parser too long comes back as it was written.
 */
export function parse(markdown: string): Root {
  if (effort(markdown) > effortLimit) return plain(markdown);
  let root: Root;
  try {
    root = fromMarkdown(markdown.replace(containers, '$1'), {
      extensions: [gfm()],
      mdastExtensions: [gfmFromMarkdown()],
    });
  } catch {
    return plain(markdown);
  }
  const definitions = new Map<string, Definition>();
  collect(root, definitions);
  root.children = root.children.flatMap((node) => blocks(node, definitions, 0));
  return root;
}

export function paragraph(text: string): Paragraph {
  return { type: 'paragraph', children: [{ type: 'text', value: text }] };
}

/** A text as it was written: no sign in it means anything. */
export function plain(text: string): Root {
  const children = text.split(/\n[ \t]*\n/).map((part): Paragraph => {
    const lines = part.split('\n').map((value): Text => ({ type: 'text', value }));
    return {
      type: 'paragraph',
      children: lines.flatMap((line, index) => (index > 0 ? [{ type: 'break' }, line] : [line])),
    };
  });
  return { type: 'root', children };
}

/** Definitions may stand anywhere, also after their use; the first one of a label counts. */
function collect(node: Nodes, definitions: Map<string, Definition>): void {
  if (node.type === 'definition' && !definitions.has(node.identifier)) definitions.set(node.identifier, node);
  if ('children' in node) for (const child of node.children) collect(child, definitions);
}

function blocks(node: RootContent, definitions: Map<string, Definition>, depth: number): RootContent[] {
  switch (node.type) {
    case 'definition':
    case 'footnoteDefinition':
    case 'yaml':
      return [];
    case 'html':
      return [paragraph(node.value)];
    case 'paragraph':
    case 'heading':
      node.children = node.children.flatMap((child) => inline(child, definitions));
      return node.children.length > 0 ? [node] : [];
    case 'blockquote':
      if (depth >= depthLimit) return [paragraph(textOf(node))];
      node.children = node.children.flatMap((child) => blocks(child, definitions, depth + 1)) as BlockContent[];
      return [node];
    case 'list':
      if (depth >= depthLimit) return [paragraph(textOf(node))];
      for (const item of node.children) {
        item.children = item.children.flatMap((child) => blocks(child, definitions, depth + 1)) as BlockContent[];
      }
      return [node];
    case 'table':
      if ((node.children[0]?.children.length ?? 0) > columnLimit)
        return node.children.map((row) => paragraph(cellsOf(row)));
      for (const row of node.children) {
        for (const cell of row.children) cell.children = cell.children.flatMap((child) => inline(child, definitions));
      }
      return [node];
    default:
      return [node];
  }
}

function cellsOf(row: TableRow): string {
  return row.children.map((cell) => textOf(cell)).join(' | ');
}

function inline(node: PhrasingContent, definitions: Map<string, Definition>, depth = 0): PhrasingContent[] {
  switch (node.type) {
    case 'html':
      return [{ type: 'text', value: node.value }];
    case 'image':
      return link(node.url, [{ type: 'text', value: node.alt || node.url }]);
    case 'imageReference':
      return link(definitions.get(node.identifier)?.url ?? '', [{ type: 'text', value: node.alt || node.identifier }]);
    case 'link':
    case 'linkReference': {
      const url = node.type === 'link' ? node.url : (definitions.get(node.identifier)?.url ?? '');
      // An image inside a link is that link's text: links do not nest.
      const inside = node.children
        .flatMap((child) => inline(child, definitions, depth + 1))
        .flatMap((child) => (child.type === 'link' ? child.children : [child]));
      return link(url, inside);
    }
    case 'footnoteReference':
      return [{ type: 'text', value: `[${node.identifier}]` }];
    case 'emphasis':
    case 'strong':
    case 'delete':
      node.children = node.children.flatMap((child) => inline(child, definitions, depth + 1));
      if (depth >= depthLimit) return node.children;
      return node.children.length > 0 ? [node] : [];
    default:
      return [node];
  }
}

function link(url: string, children: PhrasingContent[]): PhrasingContent[] {
  if (!harmlessUrl.test(url)) return children;
  const named = children.some((child) => textOf(child) !== '')
    ? children
    : [{ type: 'text', value: url } satisfies Text];
  return [{ type: 'link', url, children: named } satisfies Link];
}
