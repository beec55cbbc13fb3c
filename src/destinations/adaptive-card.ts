import type { Severity } from '../message.ts';
import type { Notice } from './adapter.ts';
import { cardStretches, cardText } from './markdown/card.ts';
import { trimBytes, trimChars } from './trim.ts';

export type CardElement = { type: string; [property: string]: unknown };

export interface AdaptiveCard {
  $schema: string;
  type: 'AdaptiveCard';
  version: string;
  fallbackText: string;
  body: CardElement[];
  actions?: CardElement[];
  msteams: { width: 'Full' };
}

/** Teams shows at most six actions on a card; the rest is listed as text. */
const actionLimit = 6;

/** More than a card can ever take, so that a body is not parsed again and again on its way to the limit. */
const bodyLimitBytes = 24 * 1024;

const styles: Record<Severity, string> = {
  critical: 'attention',
  error: 'attention',
  warning: 'warning',
  info: 'accent',
};

/** Written on the card's first element, where it is never shown. */
export function cardMark(key: string, revision: number): string {
  return `tocsin:${key}:${revision}`;
}

/** The revision on a card that was read back, or null when it is not a card of `key`. */
export function markedRevision(card: unknown, key: string): number | null {
  const id = (card as { body?: { id?: unknown }[] } | null)?.body?.[0]?.id;
  if (typeof id !== 'string' || !id.startsWith(`tocsin:${key}:`)) return null;
  const revision = Number(id.slice(`tocsin:${key}:`.length));
  return Number.isInteger(revision) && revision > 0 ? revision : null;
}

/**
 * A message as an Adaptive Card of the subset that Teams shows everywhere (1.4). Titles and code are text runs, which are never
 * read as Markdown; `<at>` is only text in a card that lists no entities. `room` (0 to 1) scales whatever may be long.
 * https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/cards-format
 */
export function adaptiveCard(notice: Notice, room: number): AdaptiveCard {
  const { message, retracted } = notice;
  const title = `${retracted ? 'Retracted: ' : ''}${message.title}`;
  const links = [...(message.links ?? []), ...notice.crossLinks];
  const shown = room > 0 ? links.filter(({ url }) => url.length <= Math.max(200, 2048 * room)) : [];
  const actions = shown
    .slice(0, actionLimit)
    .map(({ text, url }): CardElement => ({ type: 'Action.OpenUrl', title: trimChars(text, 80), url }));
  const body = retracted
    ? [heading(notice, title)]
    : [
        heading(notice, title),
        ...bodyElements(notice, room),
        ...facts(notice, room),
        ...moreLinks(shown.slice(actionLimit), links.length - shown.length),
      ];
  return {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    fallbackText: title,
    body: [...body, footer(notice)],
    ...(actions.length > 0 && !retracted ? { actions } : {}),
    msteams: { width: 'Full' },
  };
}

export function heading({ key, revision, message, retracted }: Notice, title: string): CardElement {
  const run = { type: 'TextRun', text: title, weight: 'Bolder', size: 'Large' };
  return {
    type: 'Container',
    id: cardMark(key, revision),
    style: retracted ? 'default' : styles[message.severity],
    bleed: true,
    items: [{ type: 'RichTextBlock', inlines: [retracted ? { ...run, strikethrough: true } : run] }],
  };
}

function bodyElements({ message }: Notice, room: number): CardElement[] {
  const kept = trimBytes(message.body ?? '', Math.floor(bodyLimitBytes * room));
  if (!kept.trim()) return [];
  return cardStretches(kept).map(({ kind, text }): CardElement => {
    if (kind === 'text') return { type: 'TextBlock', text, wrap: true };
    return { type: 'RichTextBlock', inlines: [{ type: 'TextRun', text, fontType: 'Monospace' }] };
  });
}

function facts({ message }: Notice, room: number): CardElement[] {
  if (!message.fields?.length) return [];
  const shown = message.fields.map(({ name, value }) => ({
    title: cardText(trimChars(name, Math.max(24, Math.floor(256 * room)))),
    value: cardText(trimChars(value, Math.max(24, Math.floor(2048 * room)))) || '–',
  }));
  return [{ type: 'FactSet', facts: shown }];
}

function moreLinks(links: readonly { text: string; url: string }[], leftOut: number): CardElement[] {
  const lines = links.map(({ text, url }) => `- [${cardText(text)}](${url.replace(/[()\s\\<>]/g, escaped)})`);
  if (leftOut > 0) lines.push(`- … and ${leftOut} more`);
  return lines.length > 0 ? [{ type: 'TextBlock', text: lines.join('\n'), wrap: true }] : [];
}

function footer({ message, topic, createdAt }: Notice): CardElement {
  const parts = [message.severity.toUpperCase(), topic ? trimChars(topic, 100) : '', createdAt.toISOString()];
  const text = parts.filter(Boolean).join(' · ');
  return { type: 'RichTextBlock', inlines: [{ type: 'TextRun', text, size: 'Small', isSubtle: true }] };
}

/** What would end a Markdown link early; encodeURIComponent leaves parentheses alone. */
function escaped(character: string): string {
  return `%${character.charCodeAt(0).toString(16).padStart(2, '0').toUpperCase()}`;
}
