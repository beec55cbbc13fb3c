import { type Check, defineAdapter, rootGone } from '../adapter.ts';
import { check, credentialAdvice } from './check.ts';
import {
  clientOf,
  placeOf,
  Receipt,
  receiptOf,
  Secrets,
  Settings,
  type SlackCall,
  type SlackReceipt,
} from './client.ts';
import { classify, slackCode } from './faults.ts';
import { look } from './look.ts';
import { compose, render, type SlackContent, type SlackPayload } from './render.ts';

async function post(call: SlackCall, payload: SlackPayload, thread?: string): Promise<SlackReceipt> {
  const posted = await clientOf(call).chat.postMessage({ ...payload, thread_ts: thread });
  // The channel of the answer may be another than was asked for, and later calls need that one.
  const ts = posted.ts ?? '';
  return receiptOf(call.settings, posted.channel ?? '', ts, new Date(Number.parseFloat(ts) * 1000 || 0), thread);
}

/** https://docs.slack.dev/reference/methods/chat.postMessage#errors */
const threadIsGone = new Set(['cannot_reply_to_message', 'thread_not_found', 'message_not_found']);
/** Of a channel that the destination has left, the app may know nothing any more. */
const channelIsGone = new Set(['channel_not_found', 'is_archived', 'not_in_channel']);

export const slack = defineAdapter<Settings, Secrets, SlackReceipt, SlackPayload, SlackContent>({
  kind: 'slack',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  repeatable: ['revise', 'retract'],
  compose,
  render,
  classify,
  deliver: (call, payload) => post(call, payload),

  async reply(call, payload) {
    const { channel, thread, ts } = call.root;
    try {
      // The thread stays where it began. A reply to a reply is refused: the thread hangs on its first message.
      return await post(call, { ...payload, channel }, thread ?? ts);
    } catch (error) {
      const code = slackCode(error);
      const left = channel !== call.settings.channel && channelIsGone.has(code ?? '');
      if (code === null || !(left || threadIsGone.has(code))) throw error;
      throw rootGone(`Slack says ${code}: the thread of this topic is gone.`, call.wire.status);
    }
  },

  // Slack documents no delay between posting and history; these are for a request that is still on its way.
  verify: { scheduleSeconds: [2, 10, 60], look },

  async revise(call, payload) {
    const { channel, ts, thread } = call.receipt;
    // What is left out of an update may stay or go, depending on the rest: everything is sent again.
    const { unfurl_links: _links, unfurl_media: _media, mrkdwn: _markup, ...content } = payload;
    // Where it stands, which may be another channel than is configured by now.
    await clientOf(call).chat.update({ ...content, channel, ts });
    return receiptOf(call.settings, channel, ts, new Date(), thread);
  },

  async retract(call) {
    const { channel, ts, thread } = call.receipt;
    try {
      await clientOf(call).chat.delete({ channel, ts });
    } catch (error) {
      if (slackCode(error) !== 'message_not_found') throw error;
    }
    return receiptOf(call.settings, channel, ts, new Date(), thread);
  },

  credentialAdvice,
  check: (call): Promise<Check[]> => check(clientOf(call), call.settings.channel),
  place: placeOf,
  budget: (settings, secrets) => `${settings.apiUrl} ${secrets.token}`,
});
