import type { Root } from 'mdast';
import type { Notice, Said } from '../adapter.ts';
import { type AdaptiveCard, adaptiveCard, announced, signatureBytes, signed } from '../adaptive-card.ts';
import { fitting, jsonBytes } from '../fitting.ts';

/** Teams refuses messages above 28 KB, and the flow wraps what it is given; nobody would tell us about a refusal. */
const limitBytes = 25 * 1024;

export interface WorkflowPayload {
  type: 'message';
  attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive'; contentUrl: null; content: AdaptiveCard }];
}

/** Room for the word that a follow-up begins with, in its title and in its fallback text. */
const prefixBytes = 64;

export const compose = (said: Said, body: Root): AdaptiveCard =>
  fitting(limitBytes - prefixBytes - signatureBytes, jsonBytes, (room) => adaptiveCard(said, body, room));

/** The body that the template "Post to a channel when a webhook request is received" expects. */
export function render(notice: Notice, _settings: unknown, card: AdaptiveCard): WorkflowPayload {
  return message(signed(card, notice));
}

/** The same, marked as following an earlier message, which a flow can neither edit nor delete. */
export function following({ attachments: [{ content }] }: WorkflowPayload): WorkflowPayload {
  return message(announced(content, 'Update: '));
}

function message(content: AdaptiveCard): WorkflowPayload {
  return {
    type: 'message',
    attachments: [{ contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content }],
  };
}
