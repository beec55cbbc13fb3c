import type { ChatMessage } from '@microsoft/microsoft-graph-types';
import type { Severity } from '../../message.ts';
import type { Notice } from '../adapter.ts';
import { adaptiveCard } from '../adaptive-card.ts';
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

/** https://learn.microsoft.com/en-us/graph/api/chatmessage-post#example-4-send-a-message-with-cards */
export function render(notice: Notice): TeamsPayload {
  const id = attachmentId(notice.key);
  const { message, retracted } = notice;
  return fitting(limitBytes, jsonBytes, (room): TeamsPayload => {
    const content = JSON.stringify(adaptiveCard(notice, room));
    return {
      subject: retracted ? `Retracted: ${message.title}` : message.title,
      importance: retracted ? 'normal' : importance[message.severity],
      body: { contentType: 'html', content: `<attachment id="${id}"></attachment>` },
      attachments: [{ id, contentType: 'application/vnd.microsoft.card.adaptive', content }],
    };
  });
}
