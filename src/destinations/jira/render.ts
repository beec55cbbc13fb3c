import type { Root } from 'mdast';
import type { Severity } from '../../message.ts';
import type { Notice, Said } from '../adapter.ts';
import { fitting } from '../fitting.ts';
import { imprint, signs } from '../imprint.ts';
import { type AdfDocument, type AdfNode, adfParagraph, adfText, toAdf } from '../markdown/adf.ts';
import { shortened } from '../markdown/shorten.ts';
import { trimChars } from '../trim.ts';
import type { Settings } from './settings.ts';

/** Jira refuses a longer summary, and one with a new line in it. */
const summaryLimit = 255;

/**
 * Jira refuses a description or comment of more than 32,767 characters, counted in a form of its own in which marks, cells and links
 * cost some as well: the margin is for them, and for the last paragraph.
 */
const textLimit = 30_000;

/** Nobody reads more links than these; a broadcast may have hundreds of other copies. */
const linkLimit = 50;

/** What a node costs besides its text, with some room to spare. */
const nodeCost = 4;

/** The property that marks what Tocsin created. It is written with the issue or comment, in one request, or not at all. */
export const property = 'tocsin.delivery';

/** An issue as it is created. A comment takes its description and its properties, an edit all but its project and type. */
export interface JiraPayload {
  fields: { project: { key: string }; issuetype: { name: string }; summary: string; description: AdfDocument };
  properties: { key: string; value: { id: string; rev: number } }[];
}

const panels: Record<Severity, string> = { critical: 'error', error: 'error', warning: 'warning', info: 'info' };

/** What of an issue or comment every delivery of a message shares. */
export interface JiraContent {
  summary: string;
  /** All of the description but its last paragraph. */
  content: AdfNode[];
}

export function compose(said: Said, body: Root): JiraContent {
  const { message, retracted } = said;
  const summary = `${retracted ? '[Retracted] ' : ''}${message.title}`.replace(/\s+/g, ' ').trim();
  const content = fitting<AdfNode[]>(
    textLimit,
    (nodes) => nodes.reduce((sum, node) => sum + cost(node), 0),
    (room): AdfNode[] => [
      panel(said),
      ...toAdf(shortened(body, Math.floor(32 * 1024 * room))),
      ...fields(said, room),
      ...links(said, room),
    ],
  );
  return {
    summary: trimChars(summary, summaryLimit) || 'Untitled',
    content: retracted ? content.map(struck) : content,
  };
}

export function render(
  notice: Notice,
  { projectKey, issueType }: Settings,
  { summary, content }: JiraContent,
): JiraPayload {
  const about = adfParagraph(adfText([...imprint(notice), notice.correlationId].join(' · '), [{ type: 'em' }]));
  const description: AdfDocument = {
    type: 'doc',
    version: 1,
    content: [...content, notice.retracted ? struck(about) : about],
  };
  return {
    fields: { project: { key: projectKey }, issuetype: { name: issueType }, summary, description },
    properties: [{ key: property, value: { id: notice.key, rev: notice.revision } }],
  };
}

function panel({ message, retracted }: Said): AdfNode {
  const label = retracted ? 'RETRACTED' : `${signs[message.severity]} ${message.severity.toUpperCase()}`;
  const title = adfParagraph(adfText(message.title, [{ type: 'strong' }]));
  const about = adfParagraph(adfText(label));
  return {
    type: 'panel',
    attrs: { panelType: retracted ? 'note' : panels[message.severity] },
    content: [about, title],
  };
}

function fields({ message }: Said, room: number): AdfNode[] {
  if (!message.fields?.length) return [];
  const rows = message.fields.map(({ name, value }): AdfNode => {
    const title = adfText(trimChars(name, Math.max(24, Math.floor(256 * room))));
    const text = adfText(trimChars(value, Math.max(24, Math.floor(2048 * room))));
    return {
      type: 'tableRow',
      content: [
        { type: 'tableHeader', content: [adfParagraph(title)] },
        { type: 'tableCell', content: [adfParagraph(text)] },
      ],
    };
  });
  return [{ type: 'table', content: rows }];
}

function links({ message, crossLinks }: Said, room: number): AdfNode[] {
  const all = [...(message.links ?? []), ...crossLinks];
  const shown = all.filter(({ url }) => url.length <= Math.max(200, 2048 * room)).slice(0, linkLimit);
  const items = shown.map(({ text, url }) => adfText(text, [{ type: 'link', attrs: { href: url } }]));
  if (shown.length < all.length) items.push(adfText(`… and ${all.length - shown.length} more`));
  if (items.length === 0) return [];
  const content = items.map((item): AdfNode => ({ type: 'listItem', content: [adfParagraph(item)] }));
  return [{ type: 'bulletList', content }];
}

function cost({ content = [], text = '', marks = [] }: AdfNode): number {
  const children = content.reduce((sum, child) => sum + cost(child), 0);
  const marked = marks.reduce((sum, mark) => sum + nodeCost + (mark.attrs?.href?.length ?? 0), 0);
  return children + text.length + marked + nodeCost;
}

/** Code takes no strike mark, and blocks of it no mark at all. */
function struck(node: AdfNode): AdfNode {
  if (node.type === 'codeBlock') return node;
  if (node.content) return { ...node, content: node.content.map(struck) };
  const marks = node.marks ?? [];
  if (node.type !== 'text' || marks.some(({ type }) => type === 'code' || type === 'strike')) return node;
  return { ...node, marks: [...marks, { type: 'strike' }] };
}
