import type { ChatMessage } from '@microsoft/microsoft-graph-types';
import type { Call, Look } from '../adapter.ts';
import { markedRevision } from '../adaptive-card.ts';
import { permalink, timeOf } from '../receipt.ts';
import { graph } from './graph.ts';
import { attachmentId } from './mark.ts';
import { type Channel, channelOf, placeOf, type Receipt, type Secrets, type Settings } from './settings.ts';

/** Fifty a page is the most that Graph gives; a channel that is busier than this cannot be searched to its end. */
const pageSize = 50;
const pageLimit = 5;

/** It is sent back with the next request. */
const tokenLimit = 4_096;

/** Our clock and Microsoft's may differ. */
const skewMs = 5 * 60_000;

interface Page {
  value?: ChatMessage[];
  '@odata.nextLink'?: string;
}

/** Looks for the delivery's card among the newest messages of the channel, or of the topic's thread. */
export async function look(call: Call<Settings, Secrets, Receipt>): Promise<Look<Receipt>> {
  const from = call.since.getTime() - skewMs;
  const today = placeOf(call.settings);
  const { service, teamId = '', channelId = '' } = call.place ?? today;
  if (service !== today.service)
    return { seen: 'unclear', why: `It was sent by ${service}, and apiUrl is another one now.` };
  const at = call.root ? channelOf(call.root, { teamId, channelId }) : { teamId, channelId };
  const path = call.root ? threadOf(at, call.root) : messages(at);
  let skipToken: string | null = null;
  for (let page = 0; page < pageLimit; page += 1) {
    const found = await readPage(call, path, skipToken);
    if (!Array.isArray(found?.value)) return { seen: 'unclear', why: 'Graph answered without a list of messages.' };
    const landed = match(found.value, call.key, at);
    if (landed) return landed;
    const next = found['@odata.nextLink'];
    if (!next || isBefore(found.value, from)) return { seen: 'absent' };
    skipToken = URL.parse(next)?.searchParams.get('$skiptoken') ?? null;
    if (skipToken === null || skipToken.length > tokenLimit)
      return { seen: 'unclear', why: 'Graph has more messages but does not say how to read on.' };
  }
  return { seen: 'unclear', why: `More than ${pageSize * pageLimit} messages followed in the channel.` };
}

function readPage(call: Call<Settings, Secrets, Receipt>, path: string, skipToken: string | null): Promise<Page> {
  // Only the token of the next link is used: the link itself could lead our credential to another host.
  const query = skipToken === null ? '' : `&$skiptoken=${encodeURIComponent(skipToken)}`;
  return graph(call, (client) => client.api(`${path}?$top=${pageSize}${query}`).get());
}

/** An old message that was answered lately may stand among the new ones: only a page without any new one is past them all. */
function isBefore(page: readonly ChatMessage[], time: number): boolean {
  return page.every(({ createdDateTime }) => createdDateTime && Date.parse(createdDateTime) < time);
}

function match(page: readonly ChatMessage[], key: string, at: Channel): Look<Receipt> | null {
  const id = attachmentId(key);
  for (const message of page) {
    const attachment = message.attachments?.find((each) => each.id === id);
    if (!attachment || !message.id || message.deletedDateTime) continue;
    // A card that Teams rewrote still proves that something landed; taken for the oldest text, it is edited where that is not enough.
    return {
      seen: 'landed',
      receipt: receiptOf(message, message.id, at),
      revision: revisionOf(attachment.content, key) ?? 1,
    };
  }
  return null;
}

function revisionOf(content: unknown, key: string): number | null {
  try {
    return markedRevision(JSON.parse(String(content)), key);
  } catch {
    return null;
  }
}

export function receiptOf(message: ChatMessage, messageId: string, { teamId, channelId }: Channel): Receipt {
  return {
    at: timeOf(message.createdDateTime),
    url: permalink(message.webUrl),
    messageId,
    teamId,
    channelId,
    ...(message.replyToId ? { replyToId: message.replyToId } : {}),
  };
}

export function messages({ teamId, channelId }: Channel): string {
  return `/teams/${segment(teamId)}/channels/${segment(channelId)}/messages`;
}

/** Replies do not nest: what follows a reply stands beside it. */
export function threadOf(at: Channel, { messageId, replyToId }: Receipt): string {
  return `${messages(at)}/${segment(replyToId ?? messageId)}/replies`;
}

/** The SDK puts into the path whatever it is given. */
export function segment(text: string): string {
  return encodeURIComponent(text);
}
