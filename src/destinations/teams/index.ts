import type { ChatMessage } from '@microsoft/microsoft-graph-types';
import { type Call, defineAdapter, FaultError, rootGone } from '../adapter.ts';
import type { AdaptiveCard } from '../adaptive-card.ts';
import { check, credentialAdvice } from './check.ts';
import { classify } from './faults.ts';
import { graph, isForbidden, isGone } from './graph.ts';
import { look, messages, receiptOf, segment, threadOf } from './look.ts';
import { compose, render, type TeamsPayload } from './render.ts';
import { type Channel, channelOf, placeOf, Receipt, Secrets, Settings } from './settings.ts';

type TeamsCall = Call<Settings, Secrets, Receipt>;

/** A channel of Microsoft Teams, posted to through Graph as a user. */
export const teams = defineAdapter<Settings, Secrets, Receipt, TeamsPayload, AdaptiveCard>({
  kind: 'teams',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  // Graph has no idempotency key; but the same text again, or another delete, changes nothing.
  repeatable: ['revise', 'retract'],
  compose,
  render,
  classify,
  check,
  credentialAdvice,

  deliver: (call, payload) => post(call, call.settings, messages(call.settings), payload),

  async reply(call, payload) {
    // The thread stays where it began.
    const at = channelOf(call.root, call.settings);
    try {
      return await post(call, at, threadOf(at, call.root), payload);
    } catch (error) {
      // Of a channel that the destination has left, this user may not be a member any more.
      const left = at.channelId !== call.settings.channelId && isForbidden(error);
      if (!left && !isGone(error)) throw error;
      throw rootGone('Graph does not find the thread of this topic any more.', call.wire.status);
    }
  },

  verify: { scheduleSeconds: [3, 15, 60, 180], look },

  async revise(call, payload) {
    await graph(call, (client) => client.api(pathOf(call)).patch(payload));
    return call.receipt;
  },

  async retract(call) {
    try {
      await graph(call, (client) => client.api(`${pathOf(call)}/softDelete`).post(undefined));
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    return call.receipt;
  },

  place: placeOf,
  // Graph counts per app and tenant (https://learn.microsoft.com/en-us/graph/throttling-limits#microsoft-teams-service-limits).
  budget: (settings, secrets) =>
    ['teams', settings.apiUrl, secrets.tenantId, secrets.clientId ?? secrets.accessToken].join(' '),
});

async function post(call: TeamsCall, at: Channel, path: string, payload: TeamsPayload): Promise<Receipt> {
  const message: ChatMessage | undefined = await graph(call, (client) => client.api(path).post(payload));
  if (typeof message?.id !== 'string' || message.id === '') {
    const unread = 'Graph accepted the message, but its answer does not say under which id.';
    const { status } = call.wire;
    throw new FaultError({
      class: 'ambiguous',
      reason: 'unreadable_reply',
      message: unread,
      status,
      retryAfterMs: null,
    });
  }
  return receiptOf(message, message.id, at);
}

function pathOf(call: TeamsCall & { receipt: Receipt }): string {
  const { messageId, replyToId } = call.receipt;
  const base = messages(channelOf(call.receipt, call.settings));
  return replyToId ? `${base}/${segment(replyToId)}/replies/${segment(messageId)}` : `${base}/${segment(messageId)}`;
}
