import type { Notice } from '../adapter.ts';

export interface WebhookPayload {
  type: 'broadcast.message';
  timestamp: string;
  data: Pick<Notice, 'broadcastId' | 'revision' | 'retracted' | 'message' | 'topic' | 'correlationId' | 'metadata'> & {
    deliveryId: string;
  };
}

/**
 * The body, byte for byte the same at every attempt at one revision: its timestamp is that of the broadcast. A receiver has no limits that
 * we know of, so that nothing is trimmed.
 */
export function render(notice: Notice): WebhookPayload {
  const { broadcastId, key, revision, retracted, message, topic, correlationId, metadata, createdAt } = notice;
  return {
    type: 'broadcast.message',
    timestamp: createdAt.toISOString(),
    data: { broadcastId, deliveryId: key, revision, retracted, message, topic, correlationId, metadata },
  };
}
