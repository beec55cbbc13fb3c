import type { ListItem, PhrasingContent, Root, RootContent, Table } from 'mdast';
import { toString as textOf } from 'mdast-util-to-string';

export interface AdfMark {
  type: 'strong' | 'em' | 'strike' | 'code' | 'link';
  attrs?: Record<string, string>;
}

export type AdfNode = {
  type: string;
  attrs?: Record<string, string | number | boolean>;
  content?: AdfNode[];
  marks?: AdfMark[];
  text?: string;
};

export type AdfDocument = {
  type: 'doc';
  version: 1;
  content: AdfNode[];
};

/**
 * A CommonMark body as nodes of the Atlassian Document Format, of the kinds that may stand at the top of a document.
 * https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/
 */
export function toAdf(body: Root): AdfNode[] {
  return body.children.flatMap((node) => block(node, 'top'));
}

/** Text nodes must not be empty, and a new line in one is a hardBreak. */
export function adfText(text: string, marks: AdfMark[] = []): AdfNode[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    const nodes: AdfNode[] = index > 0 ? [{ type: 'hardBreak' }] : [];
    if (line) nodes.push(marks.length > 0 ? { type: 'text', text: line, marks } : { type: 'text', text: line });
    return nodes;
  });
}

export function adfParagraph(content: AdfNode[]): AdfNode {
  return content.length > 0 ? { type: 'paragraph', content } : { type: 'paragraph' };
}

/** Quotes, list items and cells each hold less than the document itself; what they may not hold becomes paragraphs. */
type Place = 'top' | 'quote' | 'item' | 'cell';

function block(node: RootContent, place: Place): AdfNode[] {
  switch (node.type) {
    case 'paragraph':
      return [adfParagraph(inline(node.children, []))];
    case 'heading': {
      const content = inline(node.children, []);
      if (place === 'top')
        return content.length > 0 ? [{ type: 'heading', attrs: { level: node.depth }, content }] : [];
      return [adfParagraph(inline(node.children, [{ type: 'strong' }]))];
    }
    case 'blockquote': {
      const content = node.children.flatMap((child) => block(child, place === 'top' ? 'quote' : place));
      if (place !== 'top') return content;
      return content.length > 0 ? [{ type: 'blockquote', content }] : [];
    }
    case 'list': {
      const content = node.children.map(item);
      if (!node.ordered) return [{ type: 'bulletList', content }];
      return [{ type: 'orderedList', attrs: { order: node.start ?? 1 }, content }];
    }
    case 'code': {
      const content: AdfNode[] = node.value ? [{ type: 'text', text: node.value }] : [];
      return [{ type: 'codeBlock', ...(node.lang ? { attrs: { language: node.lang } } : {}), content }];
    }
    case 'thematicBreak':
      return place === 'top' ? [{ type: 'rule' }] : [];
    case 'table':
      return place === 'top' ? [table(node)] : rowsAsText(node);
    default:
      return [];
  }
}

function item(node: ListItem): AdfNode {
  const content = node.children.flatMap((child) => block(child, 'item'));
  const tick = node.checked === true ? '☑ ' : node.checked === false ? '☐ ' : '';
  // A list item begins with a paragraph or code, never with another list.
  const first = content[0]?.type;
  if (first !== 'paragraph' && first !== 'codeBlock') content.unshift({ type: 'paragraph' });
  if (tick && content[0]?.type === 'paragraph') {
    content[0] = adfParagraph([...adfText(tick), ...(content[0].content ?? [])]);
  }
  return { type: 'listItem', content };
}

function table(node: Table): AdfNode {
  const content = node.children.map((row, index): AdfNode => {
    const type = index === 0 ? 'tableHeader' : 'tableCell';
    const cells = row.children.map((cell): AdfNode => ({ type, content: [adfParagraph(inline(cell.children, []))] }));
    return { type: 'tableRow', content: cells };
  });
  return { type: 'table', content };
}

function rowsAsText(node: Table): AdfNode[] {
  return node.children.map((row) => adfParagraph(adfText(row.children.map((cell) => textOf(cell)).join(' | '))));
}

function inline(nodes: readonly PhrasingContent[], marks: AdfMark[]): AdfNode[] {
  return nodes.flatMap((node): AdfNode[] => {
    switch (node.type) {
      case 'text':
        // Inside a paragraph a single new line is only where the author's editor wrapped.
        return adfText(unwrapped(node.value), marks);
      case 'inlineCode':
        // Code goes with no other mark than a link.
        return adfText(node.value, [...marks.filter(({ type }) => type === 'link'), { type: 'code' }]);
      case 'strong':
        return inline(node.children, withMark(marks, { type: 'strong' }));
      case 'emphasis':
        return inline(node.children, withMark(marks, { type: 'em' }));
      case 'delete':
        return inline(node.children, withMark(marks, { type: 'strike' }));
      case 'link':
        return inline(node.children, withMark(marks, { type: 'link', attrs: { href: node.url } }));
      case 'break':
        return [{ type: 'hardBreak' }];
      default:
        return [];
    }
  });
}

function unwrapped(text: string): string {
  const lines = text.split('\n');
  if (lines.length === 1) return text;
  return lines
    .map((line, at) => {
      const begun = at > 0 ? line.trimStart() : line;
      return at < lines.length - 1 ? begun.trimEnd() : begun;
    })
    .join(' ');
}

function withMark(marks: AdfMark[], mark: AdfMark): AdfMark[] {
  return marks.some(({ type }) => type === mark.type) ? marks : [...marks, mark];
}
