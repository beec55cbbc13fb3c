import type { KnownBlock, MessageAttachment } from '@slack/web-api';
import type { Root } from 'mdast';
import type { Severity } from '../../message.ts';
import type { Notice, Said } from '../adapter.ts';
import { imprint, signs } from '../imprint.ts';
import { trimChars } from '../trim.ts';
import type { Settings } from './client.ts';
import { escaped, link, mrkdwn, pieces } from './mrkdwn.ts';

export interface SlackPayload {
  channel: string;
  /** What notifications and screen readers say. */
  text: string;
  /** The text is not markup: a title of "*x*" says just that. */
  mrkdwn: false;
  blocks: KnownBlock[];
  attachments: MessageAttachment[];
  metadata: { event_type: string; event_payload: { id: string; rev: number } };
  unfurl_links: false;
  unfurl_media: false;
}

export const markType = 'tocsin_delivery';

/** The second mark, which Slack returns even where it keeps metadata back. Changes with the text, as Slack asks for. */
export function blockMark(key: string, revision: number): string {
  return `tc:${key}:${revision}`;
}

const colours: Record<Severity, string> = {
  critical: '#b3001b',
  error: '#e0561b',
  warning: '#d9a400',
  info: '#2f6fde',
};

// https://docs.slack.dev/reference/block-kit/blocks: header 150, section 3,000, ten fields of 2,000 characters.
const headerLimit = 150;
const sectionLimit = 2_900;
const fieldsPerSection = 10;
/** msg_blocks_too_long was seen at 13,200 characters: https://github.com/slackapi/bolt-js/issues/2509 */
const blocksLimit = 12_000;
const linksLimit = 3_000;
const fieldsLimit = 4_000;
/** No more of a body than this is worth converting: it is about what fits. */
const bodyLimit = 10_000;

function section(text: string): KnownBlock {
  // Verbatim: neither "@here" nor "#general" nor a bare address in the text turns into anything else.
  return { type: 'section', text: { type: 'mrkdwn', text, verbatim: true } };
}

function heading(text: string, mark: string): KnownBlock {
  const shown = escaped(text);
  if (shown.length <= headerLimit) {
    return { type: 'header', block_id: mark, text: { type: 'plain_text', text: shown, emoji: false } };
  }
  return { type: 'section', block_id: mark, text: { type: 'plain_text', text: shown, emoji: false } };
}

function fieldBlocks(fields: readonly { name: string; value: string }[]): KnownBlock[] {
  const share = Math.floor(fieldsLimit / Math.max(1, fields.length));
  const shown = fields.map(({ name, value }) => {
    const label = escaped(trimChars(name.replace(/\s+/g, ' '), Math.floor(share / 4)));
    // Escaping can make a character five times as long.
    let room = share - label.length;
    let text = escaped(trimChars(value, room));
    while (text.length > share - label.length && room > 1) {
      room = Math.floor(room / 2);
      text = escaped(trimChars(value, room));
    }
    return { type: 'mrkdwn' as const, text: `*${label}*\n${text.trim() || '—'}`, verbatim: true };
  });
  const blocks: KnownBlock[] = [];
  for (let index = 0; index < shown.length; index += fieldsPerSection) {
    blocks.push({ type: 'section', fields: shown.slice(index, index + fieldsPerSection) });
  }
  return blocks;
}

function linkBlocks(links: readonly { text: string; url: string }[]): KnownBlock[] {
  // Not buttons: Slack sends the app an interaction for each click, and shows a warning beside the button where no server of the app's
  // acknowledges it. https://github.com/slackapi/node-slack-sdk/issues/869, https://github.com/slackapi/slack-github-action/issues/513
  let text = '';
  let left = links.length;
  for (const { text: label, url } of links) {
    const next = `${text ? ' · ' : ''}${link(url, trimChars(label, 75))}`;
    if (text.length + next.length > linksLimit - 40) break;
    text += next;
    left -= 1;
  }
  if (left > 0) text += `${text ? ' · ' : ''}… and ${left} more`;
  return links.length > 0 ? [section(text)] : [];
}

function size(value: unknown): number {
  return JSON.stringify(value).length;
}

/** What the context below a message may take. */
const contextLimit = 1_000;

/** The parts of a message that every delivery of it shares. */
export interface SlackContent {
  title: string;
  text: string;
  color: string;
  blocks: KnownBlock[];
}

export function compose({ message, retracted, crossLinks }: Said, tree: Root): SlackContent {
  const title = retracted ? `Retracted: ${message.title}` : message.title;
  const source = retracted ? '' : (message.body ?? '');
  const fields = retracted ? [] : fieldBlocks(message.fields ?? []);
  const links = retracted ? [] : linkBlocks([...(message.links ?? []), ...crossLinks]);
  const room = blocksLimit - size(fields) - size(links) - contextLimit;
  const body = source ? pieces(mrkdwn(tree, bodyLimit), sectionLimit, room).map(section) : [];
  // Notifications show no markup; a heading's or a list's own marks would only be in the way.
  const firstLine = (source.split('\n').find((line) => line.trim()) ?? '').replace(/^[#>*+\s-]+|\*\*|`/g, '');
  const text = `[${message.severity.toUpperCase()}] ${title}${firstLine ? ` — ${trimChars(firstLine, 400)}` : ''}`;
  return { title, text: escaped(text), color: colours[message.severity], blocks: [...body, ...fields, ...links] };
}

export function render(notice: Notice, { channel }: Settings, content: SlackContent): SlackPayload {
  const { message, key, revision } = notice;
  const { title, text, color, blocks } = content;
  const about = [`${signs[message.severity]} ${message.severity.toUpperCase()}`, ...imprint(notice)].join(' · ');
  const context: KnownBlock = {
    type: 'context',
    elements: [{ type: 'plain_text', text: trimChars(escaped(about), contextLimit - 100), emoji: false }],
  };
  return {
    channel,
    text,
    mrkdwn: false,
    blocks: [heading(title, blockMark(key, revision))],
    // The coloured bar exists only beside an attachment.
    attachments: [{ color, fallback: escaped(title), blocks: [...blocks, context] }],
    metadata: { event_type: markType, event_payload: { id: key, rev: revision } },
    unfurl_links: false,
    unfurl_media: false,
  };
}
