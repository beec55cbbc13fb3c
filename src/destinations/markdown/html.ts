import type { List, ListItem, PhrasingContent, Root, RootContent, Table } from 'mdast';

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] ?? character);
}

/**
 * HTML of a CommonMark text, written from the tree: raw HTML in it is text by then and its links are harmless, so that what it is given
 * decides only how the text looks. Printing the tree as Markdown for a library to read again took minutes for hostile texts.
 */
export function toHtml(body: Root): string {
  return body.children.map(block).join('\n');
}

function block(node: RootContent): string {
  switch (node.type) {
    case 'paragraph':
      return `<p>${inline(node.children)}</p>`;
    case 'heading':
      return `<h${node.depth}>${inline(node.children)}</h${node.depth}>`;
    case 'blockquote':
      return `<blockquote>${node.children.map(block).join('\n')}</blockquote>`;
    case 'list':
      return list(node);
    case 'code':
      return `<pre><code>${escapeHtml(node.value)}</code></pre>`;
    case 'table':
      return table(node);
    case 'thematicBreak':
      return '<hr>';
    default:
      return '';
  }
}

function list(node: List): string {
  const items = node.children.map((item) => `<li>${tick(item)}${inside(item)}</li>`).join('\n');
  if (!node.ordered) return `<ul>${items}</ul>`;
  return `<ol${node.start === 1 || node.start == null ? '' : ` start="${node.start}"`}>${items}</ol>`;
}

/** Signs instead of inputs, which mail programs drop. */
function tick({ checked }: ListItem): string {
  return typeof checked === 'boolean' ? (checked ? '☑ ' : '☐ ') : '';
}

/** A tight item's text stands without the space around a paragraph. */
function inside({ children, spread }: ListItem): string {
  return children
    .map((child) => (child.type === 'paragraph' && !spread ? inline(child.children) : block(child)))
    .join('\n');
}

function table({ children, align }: Table): string {
  const rows = children.map((row, index) => {
    const tag = index === 0 ? 'th' : 'td';
    const cells = row.children.map((cell, at) => {
      const side = align?.[at];
      return `<${tag}${side ? ` align="${side}"` : ''}>${inline(cell.children)}</${tag}>`;
    });
    return `<tr>${cells.join('')}</tr>`;
  });
  return `<table>${rows.join('\n')}</table>`;
}

function inline(nodes: readonly PhrasingContent[]): string {
  return nodes.map(phrase).join('');
}

function phrase(node: PhrasingContent): string {
  switch (node.type) {
    case 'text':
      return escapeHtml(node.value);
    case 'inlineCode':
      return `<code>${escapeHtml(node.value)}</code>`;
    case 'strong':
      return `<strong>${inline(node.children)}</strong>`;
    case 'emphasis':
      return `<em>${inline(node.children)}</em>`;
    case 'delete':
      return `<del>${inline(node.children)}</del>`;
    case 'link':
      return `<a href="${escapeHtml(node.url)}">${inline(node.children)}</a>`;
    case 'break':
      return '<br>';
    default:
      return '';
  }
}
