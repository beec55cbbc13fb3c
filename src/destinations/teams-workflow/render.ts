import type { Notice } from '../adapter.ts';
import { type AdaptiveCard, adaptiveCard, heading } from '../adaptive-card.ts';
import { fitting, jsonBytes } from '../fitting.ts';

/** Teams refuses messages above 28 KB, and the flow wraps what it is given; nobody would tell us about a refusal. */
const limitBytes = 25 * 1024;

export interface WorkflowPayload {
  type: 'message';
  attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive'; contentUrl: null; content: AdaptiveCard }];
}

export interface WorkflowCards {
  /** What a first message says. */
  first: WorkflowPayload;
  /** The same, marked as following an earlier message, which a flow can neither edit nor delete. */
  followUp: WorkflowPayload;
}

/** Room for the word that a follow-up begins with, in its title and in its fallback text. */
const prefixBytes = 64;

/** The body that the template "Post to a channel when a webhook request is received" expects. */
export function render(notice: Notice): WorkflowCards {
  const first = fitting(limitBytes - prefixBytes, jsonBytes, (room) => message(adaptiveCard(notice, room)));
  const { content } = first.attachments[0];
  return { first, followUp: message(following(content, notice)) };
}

function message(content: AdaptiveCard): WorkflowPayload {
  return {
    type: 'message',
    attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content }],
  };
}

/** A retracted message says so already; a revised one only where it follows another. */
function following(card: AdaptiveCard, notice: Notice): AdaptiveCard {
  if (notice.retracted) return card;
  const [, ...rest] = card.body;
  const title = `Update: ${notice.message.title}`;
  return { ...card, fallbackText: title, body: [heading(notice, title), ...rest] };
}
