import type { ChatMessage } from '@microsoft/microsoft-graph-types';
import { type Call, defineAdapter, FaultError, rootGone } from '../adapter.ts';
import { check, credentialAdvice } from './check.ts';
import { classify } from './faults.ts';
import { graph, isGone } from './graph.ts';
import { look, messages, receiptOf, segment, threadOf } from './look.ts';
import { render, type TeamsPayload } from './render.ts';
import { Receipt, Secrets, Settings } from './settings.ts';

type TeamsCall = Call<Settings, Secrets, Receipt>;

/** A channel of Microsoft Teams, posted to through Graph as a user. */
export const teams = defineAdapter<Settings, Secrets, Receipt, TeamsPayload>({
  kind: 'teams',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  // Graph has no idempotency key; but the same text again, or another delete, changes nothing.
  repeatable: ['revise', 'retract'],
  render,
  classify,
  check,
  credentialAdvice,

  deliver: (call, payload) => post(call, messages(call.settings), payload),

  async reply(call, payload) {
    try {
      return await post(call, threadOf(call.settings, call.root), payload);
    } catch (error) {
      if (!isGone(error)) throw error;
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

  // Graph counts per app and tenant (https://learn.microsoft.com/en-us/graph/throttling-limits#microsoft-teams-service-limits).
  budget: (settings, secrets) =>
    ['teams', settings.apiUrl, secrets.tenantId, secrets.clientId ?? secrets.accessToken].join(' '),
});

async function post(call: TeamsCall, path: string, payload: TeamsPayload): Promise<Receipt> {
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
  return receiptOf(message, message.id);
}

function pathOf(call: TeamsCall & { receipt: Receipt }): string {
  const { messageId, replyToId } = call.receipt;
  const base = messages(call.settings);
  return replyToId ? `${base}/${segment(replyToId)}/replies/${segment(messageId)}` : `${base}/${segment(messageId)}`;
}
