import { shownAttempt, summary } from '../delivery/verdict.ts';
import type { AttemptRow, BroadcastRow, DeliveryRow, RecordedFault } from './rows.ts';

/** What clients see, made from plain rows. In this room because callbacks tell the same representation that the API answers. */
export type RepresentedBroadcast = ReturnType<typeof representBroadcast>;
export type RepresentedDelivery = ReturnType<typeof representDelivery>;

/** `deliveries` may hold callbacks too: they are no part of what was to be said, and are left out. */
export function representBroadcast(row: BroadcastRow, deliveries: readonly DeliveryRow[]) {
  const copies = deliveries
    .filter(({ role }) => role === 'message')
    .sort((one, other) => Number(one.seq) - Number(other.seq));
  return {
    id: row.id,
    state: row.state,
    revision: row.revision,
    retracted: row.retracted,
    summary: summary(
      copies.map((copy) => ({ ...copy, maxAttempts: copy.max_attempts })),
      row,
    ),
    message: row.message,
    topic: row.topic,
    correlationId: row.correlation_id,
    metadata: row.metadata,
    createdAt: time(row.created_at),
    expiresAt: timeOrNull(row.expires_at),
    convergedAt: timeOrNull(row.converged_at),
    deliveries: copies.map(representDelivery),
  };
}

export function representDelivery(row: DeliveryRow) {
  return {
    id: row.id,
    broadcastId: row.broadcast_id,
    destination: row.destination,
    kind: row.kind,
    required: row.required,
    state: row.state,
    ...(row.hold && { hold: row.hold }),
    ...(row.behind && { behind: row.behind }),
    ...(row.event_type && { event: row.event_type }),
    attempt: shownAttempt(row.attempt, row.max_attempts),
    maxAttempts: row.max_attempts,
    nextAttemptAt: timeOrNull(row.due_at),
    revision: { desired: row.desired, confirmed: row.confirmed },
    lastError: row.last_error && representFault(row.last_error),
    receipt: row.receipt,
    escalatedTo: row.escalated_to,
    ...(row.escalated_from && { escalatedFrom: row.escalated_from }),
    createdAt: time(row.created_at),
    updatedAt: time(row.updated_at),
    ...(row.ended_at && { endedAt: time(row.ended_at) }),
  };
}

export function representAttempt(row: AttemptRow) {
  return {
    n: row.n,
    action: row.action,
    revision: row.revision,
    startedAt: time(row.started_at),
    finishedAt: timeOrNull(row.finished_at),
    outcome: row.outcome,
    error: row.error && representFault(row.error),
  };
}

function representFault({ class: faultClass, reason, message, status }: RecordedFault) {
  return { class: faultClass, reason, message, status: status ?? null };
}

/** The last time and its text. Most times of an answer are the same, and formatting one takes longer than the rest of a delivery. */
let written = { ms: Number.NaN, text: '' };

function time(date: Date): string {
  const ms = date.getTime();
  if (ms !== written.ms) written = { ms, text: date.toISOString() };
  return written.text;
}

function timeOrNull(date: Date | null): string | null {
  return date && time(date);
}
