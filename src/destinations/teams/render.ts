import type { ChatMessage } from '@microsoft/microsoft-graph-types';
import type { Root } from 'mdast';
import type { Severity } from '../../message.ts';
import type { Notice, Said } from '../adapter.ts';
import { type AdaptiveCard, adaptiveCard, signatureBytes, signed } from '../adaptive-card.ts';
import { fitting, jsonBytes } from '../fitting.ts';
import { attachmentId } from './mark.ts';

/** The whole message may weigh about 28 KB; what Teams adds itself has to fit in as well. */
const limitBytes = 27 * 1024;

const importance: Record<Severity, NonNullable<ChatMessage['importance']>> = {
  critical: 'urgent',
  error: 'high',
  warning: 'high',
  info: 'normal',
};

export type TeamsPayload = Pick<ChatMessage, 'subject' | 'importance' | 'body' | 'attachments'>;

export const compose = (said: Said, body: Root): AdaptiveCard =>
  fitting(
    limitBytes - 2 * signatureBytes,
    // The card is a text within the message: its quotes are escaped.
    (card) => jsonBytes(JSON.stringify(card)),
    (room) => adaptiveCard(said, body, room),
  );

/** https://learn.microsoft.com/en-us/graph/api/chatmessage-post#example-4-send-a-message-with-cards */
export function render(notice: Notice, _settings: unknown, card: AdaptiveCard): TeamsPayload {
  const id = attachmentId(notice.key);
  const { message, retracted } = notice;
  const content = JSON.stringify(signed(card, notice));
  return {
    subject: retracted ? `Retracted: ${message.title}` : message.title,
    importance: retracted ? 'normal' : importance[message.severity],
    body: { contentType: 'html', content: `<attachment id="${id}"></attachment>` },
    attachments: [{ id, contentType: 'application/vnd.microsoft.card.adaptive', content }],
  };
}
