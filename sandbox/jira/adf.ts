import { fields, list, text } from '../standin.ts';

/** Jira counts the text people see: 32,767 characters for a description or a comment. */
const LONGEST_TEXT = 32_767;
const NODES = new Set(
  `blockCard blockquote bulletList codeBlock date decisionItem decisionList embedCard emoji expand hardBreak heading
   inlineCard listItem media mediaGroup mediaSingle mention nestedExpand orderedList panel paragraph rule status table
   tableCell tableHeader tableRow taskItem taskList text`.split(/\s+/),
);
const MARKS = new Set('backgroundColor border code em link strike strong subsup textColor underline'.split(' '));
const PANELS = new Set(['info', 'note', 'success', 'warning', 'error', 'custom']);

/** Why Jira would refuse this rich text, or null. https://developer.atlassian.com/cloud/jira/platform/apis/document/structure/ */
export function wrongDocument(value: unknown): string | null {
  const document = fields(value);
  if (document.type !== 'doc' || document.version !== 1 || !Array.isArray(document.content)) {
    return 'Operation value must be an Atlassian Document (see the Atlassian Document Format)';
  }
  if (!list(document.content).every(isNode)) return 'INVALID_INPUT';
  return textOf(document).length > LONGEST_TEXT ? 'CONTENT_LIMIT_EXCEEDED' : null;
}

/** The words in it, blocks on lines of their own. */
export function textOf(value: unknown): string {
  const node = fields(value);
  if (node.type === 'text') return text(node.text) ?? '';
  if (node.type === 'hardBreak') return '\n';
  if (node.type === 'inlineCard') return text(fields(node.attrs).url) ?? '';
  const isInline = ['paragraph', 'heading', 'codeBlock'].includes(text(node.type) ?? '');
  return list(node.content)
    .map(textOf)
    .join(isInline ? '' : '\n');
}

function isNode(value: unknown): boolean {
  const node = fields(value);
  const type = text(node.type) ?? '';
  if (!NODES.has(type)) return false;
  if (!list(node.marks).every((mark) => MARKS.has(text(fields(mark).type) ?? ''))) return false;
  if (type === 'text') return (text(node.text) ?? '') !== '';
  if (type === 'panel' && !PANELS.has(text(fields(node.attrs).panelType) ?? '')) return false;
  const level = Number(fields(node.attrs).level);
  if (type === 'heading' && !(level >= 1 && level <= 6)) return false;
  return list(node.content).every(isNode);
}
