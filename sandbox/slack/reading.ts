import type { Fields, Ground } from '../standin.ts';
import { text } from '../standin.ts';
import type { SlackMessage } from './channels.ts';

/** Newest first; thread replies only where they were also sent to the channel. */
export function history(messages: SlackMessage[], args: Fields): Fields {
  const listed = messages.filter(({ ts, thread_ts, subtype }) => {
    return thread_ts === undefined || thread_ts === ts || subtype === 'thread_broadcast';
  });
  const cursor = Number(beforeCursor(text(args.cursor)) ?? Number.POSITIVE_INFINITY);
  const newestFirst = between(listed, args)
    .filter(({ ts }) => Number(ts) < cursor)
    .reverse();
  const page = newestFirst.slice(0, limitOf(args, 100));
  const more = newestFirst.length > page.length;
  return {
    messages: page.map((message) => shown(message, args)),
    has_more: more,
    pin_count: 0,
    response_metadata: { next_cursor: more ? Buffer.from(`before:${page.at(-1)?.ts}`).toString('base64') : '' },
  };
}

/** The parent, always, then its replies, oldest first; null when there is no such parent. */
export function replies(messages: SlackMessage[], args: Fields, ts: string): Fields | null {
  const asked = messages.find((message) => message.ts === ts);
  const parent = messages.find((message) => message.ts === (asked?.thread_ts ?? ts));
  if (parent === undefined) return null;
  const answers = messages.filter((message) => message.thread_ts === parent.ts && message !== parent);
  const matching = between(answers, args);
  const page = matching.slice(0, limitOf(args, 1000));
  return {
    messages: [parent, ...page].map((message) => shown(message, args)),
    has_more: matching.length > page.length,
    response_metadata: { next_cursor: '' },
  };
}

export function permalink(ground: Ground, channel: string, ts: string): string {
  return `${ground.url()}/slack/archives/${channel}/p${ts.replace('.', '')}`;
}

function between(messages: SlackMessage[], args: Fields): SlackMessage[] {
  const from = Number(args.oldest ?? 0);
  const to = Number(args.latest ?? Number.POSITIVE_INFINITY);
  const inclusive = isTrue(args.inclusive);
  return messages.filter((message) => {
    const at = Number(message.ts);
    return inclusive ? at >= from && at <= to : at > from && at < to;
  });
}

function limitOf(args: Fields, fallback: number): number {
  const limit = Number(args.limit ?? fallback);
  return Number.isFinite(limit) && limit > 0 ? Math.min(limit, 1000) : fallback;
}

function beforeCursor(cursor: string | undefined): string | undefined {
  return /^before:(.+)$/.exec(Buffer.from(cursor ?? '', 'base64').toString())?.[1];
}

function shown(message: SlackMessage, args: Fields): Partial<SlackMessage> {
  const copy: Partial<SlackMessage> = structuredClone(message);
  if (!isTrue(args.include_all_metadata)) delete copy.metadata;
  return copy;
}

/** A form has no booleans. */
export function isTrue(value: unknown): boolean {
  return value === true || value === 'true' || value === '1' || value === 1;
}
