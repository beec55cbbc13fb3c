import type { Accepted, Intent } from '../ledger/accept.ts';
import { representBroadcast } from '../ledger/represent.ts';
import type { DeliveryRow } from '../ledger/rows.ts';

type Recorded = Extract<Accepted, { is: 'recorded' }>;

/** A broadcast as it was recorded, without reading it again. Workers may be further by now. */
export function representRecorded(intent: Intent, { createdAt, held }: Pick<Recorded, 'createdAt' | 'held'>) {
  const { id, message, topic, correlationId, metadata, expiresAt } = intent;
  const broadcast = {
    id,
    state: 'converging' as const,
    revision: 1,
    retracted: false,
    severity: message.severity,
    topic,
    correlation_id: correlationId,
    metadata,
    expires_at: expiresAt,
    created_at: createdAt,
    converged_at: null,
    message,
  };
  const deliveries = intent.deliveries.map(
    (delivery, seq): DeliveryRow => ({
      id: delivery.id,
      seq,
      broadcast_id: id,
      role: 'message',
      destination: delivery.destination,
      kind: delivery.kind,
      required: delivery.required,
      state: held[delivery.id] ? 'held' : 'pending',
      hold: held[delivery.id] ?? null,
      attempt: 0,
      max_attempts: delivery.maxAttempts,
      desired: 1,
      confirmed: 0,
      receipt: null,
      last_error: null,
      escalated_to: null,
      escalated_from: null,
      due_at: held[delivery.id] ? null : createdAt,
      created_at: createdAt,
      updated_at: createdAt,
      ended_at: null,
    }),
  );
  return representBroadcast(broadcast, deliveries);
}
