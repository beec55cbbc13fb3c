import type { Look } from '../adapter.ts';
import { clientOf, placeOf, receiptOf, type SlackCall, type SlackReceipt } from './client.ts';
import { blockMark, markType } from './render.ts';

/** Apps that are sold outside Slack's marketplace get no more than this at once. https://docs.slack.dev/changelog/2025/05/29/tos-updates */
const pageSize = 15;
const pagesAtMost = 10;
/** Slack's clock, which stamps messages, and ours may differ by this much. */
const clockSkewMs = 60_000;

/** It is sent back with the next request. */
const cursorLimit = 4_096;

interface Seen {
  ts?: string;
  bot_id?: string;
  subtype?: string;
  blocks?: { block_id?: string }[];
  metadata?: { event_type?: string; event_payload?: Record<string, unknown> };
}

/** The revision of the message when it bears the mark of `key`, else null. */
function revisionOf(message: Seen, key: string): number | null {
  // People can copy what a bot said, with its blocks, but not be one.
  if (!message.bot_id || message.subtype === 'tombstone') return null;
  const { event_type, event_payload } = message.metadata ?? {};
  if (event_type === markType && event_payload?.id === key) return Number(event_payload.rev) || 1;
  const prefix = blockMark(key, 0).slice(0, -1);
  const mark = message.blocks?.[0]?.block_id;
  return typeof mark === 'string' && mark.startsWith(prefix) ? Number(mark.slice(prefix.length)) || 1 : null;
}

/** Looks for the delivery's own mark: in the channel's history, or under the topic's first message. */
export async function look(call: SlackCall): Promise<Look<SlackReceipt>> {
  const today = placeOf(call.settings);
  const { service, channel: sentTo = call.settings.channel } = call.place ?? today;
  if (service !== today.service)
    return { seen: 'unclear', why: `It was sent by ${service}, and apiUrl is another one now.` };
  const client = clientOf(call);
  const channel = call.receipt?.channel ?? call.root?.channel ?? sentTo;
  const thread = call.receipt ? call.receipt.thread : (call.root?.thread ?? call.root?.ts);
  const oldest = String((call.since.getTime() - clockSkewMs) / 1000);
  const query = { channel, oldest, inclusive: true, limit: pageSize, include_all_metadata: true };
  let cursor: string | undefined;
  for (let page = 0; page < pagesAtMost; page += 1) {
    const reply = thread
      ? await client.conversations.replies({ ...query, ts: thread, cursor })
      : await client.conversations.history({ ...query, cursor });
    if (!Array.isArray(reply.messages)) return { seen: 'unclear', why: 'Slack listed no messages at all.' };
    for (const message of reply.messages as Seen[]) {
      const revision = revisionOf(message, call.key);
      if (revision === null || !message.ts) continue;
      const at = new Date(Number.parseFloat(message.ts) * 1000);
      return { seen: 'landed', receipt: receiptOf(call.settings, channel, message.ts, at, thread), revision };
    }
    cursor = reply.response_metadata?.next_cursor || undefined;
    if (cursor && cursor.length > cursorLimit) return { seen: 'unclear', why: 'Slack gave a cursor that is too long.' };
    if (!cursor) {
      if (!reply.has_more) return { seen: 'absent' };
      return { seen: 'unclear', why: 'Slack holds more messages, but does not say where.' };
    }
  }
  return { seen: 'unclear', why: 'Too much was said in the channel since to look through it all.' };
}
