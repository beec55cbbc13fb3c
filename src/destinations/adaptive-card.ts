import type { Root } from 'mdast';
import type { Severity } from '../message.ts';
import type { Notice, Said } from './adapter.ts';
import { imprint, signs } from './imprint.ts';
import { cardStretches, cardText, cardUrl } from './markdown/card.ts';
import { shortened } from './markdown/shorten.ts';
import { trimChars } from './trim.ts';

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

/** Nobody reads more links than these; a broadcast may have hundreds of other copies. */
const linkLimit = 50;

/** More than a card can ever take. */
const bodyLimitBytes = 24 * 1024;

/** Critical and error share Teams' only red. */
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
 * read as Markdown; `<at>` is only text in a card that lists no entities. `room` (0 to 1) scales whatever may be long. What differs by
 * delivery is missing: `signed` adds it.
 * https://learn.microsoft.com/en-us/microsoftteams/platform/task-modules-and-cards/cards/cards-format
 */
export function adaptiveCard(said: Said, tree: Root, room: number): AdaptiveCard {
  const { message, retracted } = said;
  const title = `${retracted ? 'Retracted: ' : ''}${message.title}`;
  const links = [...(message.links ?? []), ...said.crossLinks];
  const short = links.filter(({ url }) => url.length <= Math.max(200, 2048 * room));
  const shown = room > 0 ? short.slice(0, linkLimit) : [];
  const actions = shown
    .slice(0, actionLimit)
    .map(({ text, url }): CardElement => ({ type: 'Action.OpenUrl', title: trimChars(text, 80), url }));
  const body = retracted
    ? [heading(said, title)]
    : [
        heading(said, title),
        ...bodyElements(tree, room),
        ...facts(said, room),
        ...moreLinks(shown.slice(actionLimit), links.length - shown.length),
      ];
  return {
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    type: 'AdaptiveCard',
    version: '1.4',
    fallbackText: title,
    body,
    ...(actions.length > 0 && !retracted ? { actions } : {}),
    msteams: { width: 'Full' },
  };
}

/** What `signed` adds may weigh so much, in bytes: the mark, and the imprint, whose topic may double when it is escaped. */
export const signatureBytes = 1_024;

/** The card as one delivery's: with its mark at the top and its imprint at the bottom. */
export function signed(card: AdaptiveCard, notice: Notice): AdaptiveCard {
  const [head, ...rest] = card.body;
  const top = { type: 'Container', id: cardMark(notice.key, notice.revision), ...head };
  return { ...card, body: [top, ...rest, footer(notice)] };
}

/** The card with this word before its title, wherever that is shown. */
export function announced(card: AdaptiveCard, word: string): AdaptiveCard {
  const [head, ...rest] = card.body;
  const items = ((head?.items ?? []) as CardElement[]).map((item) => {
    const inlines = (item.inlines as CardElement[]).map((run) =>
      run.size === 'Large' ? { ...run, text: `${word}${run.text}` } : run,
    );
    return { ...item, inlines };
  });
  return {
    ...card,
    fallbackText: `${word}${card.fallbackText}`,
    body: [{ ...head, type: 'Container', items }, ...rest],
  };
}

function heading({ message, retracted }: Said, title: string): CardElement {
  const label = retracted ? 'RETRACTED' : `${signs[message.severity]} ${message.severity.toUpperCase()}`;
  const run = { type: 'TextRun', text: title, weight: 'Bolder', size: 'Large' };
  return {
    type: 'Container',
    style: retracted ? 'default' : styles[message.severity],
    bleed: true,
    items: [
      { type: 'RichTextBlock', inlines: [{ type: 'TextRun', text: label, weight: 'Bolder', size: 'Small' }] },
      { type: 'RichTextBlock', inlines: [retracted ? { ...run, strikethrough: true } : run] },
    ],
  };
}

function bodyElements(tree: Root, room: number): CardElement[] {
  return cardStretches(shortened(tree, Math.floor(bodyLimitBytes * room))).map(({ kind, text }): CardElement => {
    if (kind === 'text') return { type: 'TextBlock', text, wrap: true };
    // Blanks in a row would become one, and code lose its shape.
    const kept = text.replace(/ {2,}|^ /gm, (blanks) => '\u00a0'.repeat(blanks.length));
    return { type: 'RichTextBlock', inlines: [{ type: 'TextRun', text: kept, fontType: 'Monospace' }] };
  });
}

function facts({ message }: Said, room: number): CardElement[] {
  if (!message.fields?.length) return [];
  const shown = message.fields.map(({ name, value }) => ({
    title: cardText(trimChars(name, Math.max(24, Math.floor(256 * room)))),
    value: cardText(trimChars(value, Math.max(24, Math.floor(2048 * room)))) || '–',
  }));
  return [{ type: 'FactSet', facts: shown }];
}

function moreLinks(links: readonly { text: string; url: string }[], leftOut: number): CardElement[] {
  const lines = links.map(({ text, url }) => `- [${cardText(text)}](${cardUrl(url)})`);
  if (leftOut > 0) lines.push(`- … and ${leftOut} more`);
  return lines.length > 0 ? [{ type: 'TextBlock', text: lines.join('\n'), wrap: true }] : [];
}

function footer(notice: Notice): CardElement {
  const text = imprint(notice).join(' · ');
  return { type: 'RichTextBlock', inlines: [{ type: 'TextRun', text, size: 'Small', isSubtle: true }] };
}
