import type { Action, Fault, Receipt } from '../delivery/outcome.ts';
import type { BroadcastState, DeliveryState } from '../delivery/state.ts';
import type { Message, Severity } from '../message.ts';
import type { Policy } from '../policy.ts';
import { budgetOf } from './budget.ts';

/** A fault as it is kept: what was to be done about it has been done. */
export type RecordedFault = Pick<Fault, 'class' | 'reason' | 'message' | 'status'> & {
  /** Of a rate limit: since when it has been the answer to every attempt. For the state machine alone. */
  refusedSince?: string | undefined;
};

/** A broadcast as SQL gives it, with the message of its newest revision joined. */
export interface BroadcastRow {
  id: string;
  state: BroadcastState;
  revision: number;
  retracted: boolean;
  severity: Severity;
  topic: string | null;
  correlation_id: string;
  metadata: Record<string, string>;
  expires_at: Date | null;
  created_at: Date;
  converged_at: Date | null;
  message: Message;
}

export const broadcastColumns = `b.id, b.state, b.revision, b.retracted, b.severity, b.topic, b.correlation_id,
  b.metadata, b.expires_at, b.created_at, b.converged_at, r.message`;

/** Broadcasts with the text of their newest revision, under the names that `broadcastColumns` expects. */
export const broadcastsWithMessage = `broadcasts b
  join revisions r on r.broadcast_id = b.id and r.revision = b.revision`;

/** A delivery as SQL gives it. `seq` is a bigint, which the driver leaves as text. */
export interface DeliveryRow {
  id: string;
  seq: string | number;
  broadcast_id: string;
  role: 'message' | 'callback';
  destination: string;
  kind: string;
  /** Of a callback: the type of its event. */
  event_type?: string | null;
  required: boolean;
  state: DeliveryState;
  hold: 'paused' | 'breaker' | 'topic' | null;
  /** The earlier broadcast of its topic that it waits for, where that was looked up. */
  behind?: string;
  attempt: number;
  max_attempts: number;
  desired: number;
  confirmed: number;
  receipt: Receipt | null;
  last_error: RecordedFault | null;
  escalated_to: string | null;
  escalated_from: string | null;
  due_at: Date | null;
  created_at: Date;
  updated_at: Date;
  ended_at: Date | null;
}

export const deliveryColumns = `d.id, d.seq, d.broadcast_id, d.role, d.destination, d.kind, d.event ->> 'type' as event_type, d.required, d.state,
  d.hold, d.attempt, d.max_attempts, d.desired, d.confirmed, d.receipt, d.last_error, d.escalated_to, d.escalated_from,
  d.due_at, d.created_at, d.updated_at, d.ended_at`;

/** SQL that every update of a delivery contains: it stores the transaction for those who follow changes (read-changes.ts). */
export const stamp = 'changed_in = pg_current_xact_id()';

export interface AttemptRow {
  n: number;
  action: string;
  revision: number;
  started_at: Date;
  finished_at: Date | null;
  outcome: string | null;
  error: RecordedFault | null;
}

/** A broadcast with what only the ledger itself needs. */
export interface StoredBroadcast extends BroadcastRow {
  callback: { url: string; events: string[] } | null;
  cross_link: boolean;
  linked: string[];
}

/** Named one by one: where a statement is prepared, `b.*` fails once a newer version has added a column. */
export const storedBroadcastColumns = `${broadcastColumns}, b.callback, b.cross_link, b.linked`;

/** What happened, as a callback keeps it. The broadcast it is about is read when it is told (tell-events.ts). */
export interface StoredEvent {
  type: string;
  timestamp: string;
  /** The broadcast's, when it happened. */
  revision?: number;
  /** The delivery that it is about. */
  deliveryId?: string;
  /** What the broadcast had come to, where the event is about that. */
  verdict?: { state: BroadcastState; convergedAt: string | null };
  /** The whole broadcast, in events that an older version recorded. */
  data?: unknown;
}

/** A delivery with what only the ledger itself needs. */
export interface StoredDelivery extends DeliveryRow {
  /** Set for callbacks only. */
  event: StoredEvent | null;
  priority: number;
  topic: string | null;
  uncounted: number;
  claims: number;
  action: Action | null;
  sending_revision: number | null;
  /** A `Suspect` (delivery/next.ts), its times as text. */
  suspect: { since: string; from: string; looks: number; absentAt: string | null } | null;
  cancel_requested: boolean;
  linking: boolean;
  doubtful: boolean;
  unthreaded: boolean;
  expires_at: Date | null;
  /** Since when its first confirmation is waited for. */
  waiting_since: Date;
}

/** Named one by one, as those of a broadcast. */
export const storedDeliveryColumns = `d.id, d.seq, d.broadcast_id, d.role, d.destination, d.kind, d.event, d.required, d.priority, d.topic,
  d.state, d.hold, d.attempt, d.uncounted, d.max_attempts, d.claims, d.action, d.sending_revision, d.desired, d.confirmed, d.receipt,
  d.suspect, d.last_error, d.cancel_requested, d.linking, d.doubtful, d.unthreaded, d.escalated_to, d.escalated_from, d.due_at,
  d.expires_at, d.waiting_since, d.created_at, d.updated_at, d.ended_at`;

export interface DestinationRow {
  name: string;
  kind: string;
  settings: Record<string, unknown>;
  /** Sealed. */
  secrets: Buffer;
  policy: Policy;
  required: boolean;
  fallback: string | null;
  /** Names the credential's rate limit. */
  budget: string | null;
  /** Where a lost message would be looked for. */
  place: Record<string, string> | null;
  paused_at: Date | null;
  pause_reason: string | null;
  faults: number;
  breaker: 'closed' | 'open' | 'half-open';
  breaker_until: Date | null;
  /** When its service, or that of its credential, has asked to be left alone until. */
  limited_until: Date | null;
  /** Open deliveries by state; states without any are missing. */
  open: Record<string, number>;
  created_at: Date;
  updated_at: Date;
}

export const destinationColumns = `t.name, t.kind, t.settings, t.secrets, t.policy, t.required, t.fallback, t.budget, t.place, t.paused_at,
  t.pause_reason, t.faults, t.breaker_until, t.created_at, t.updated_at,
  case when t.breaker_until is null then 'closed' when t.breaker_until > now() then 'open' else 'half-open' end as breaker,
  (select g.blocked_until from budgets g where g.budget = ${budgetOf} and g.blocked_until > now()) as limited_until`;

export interface AudienceRow {
  name: string;
  destinations: string[];
  created_at: Date;
  updated_at: Date;
}

export interface KeyRow {
  id: string;
  name: string;
  scopes: ('send' | 'read' | 'admin')[];
  created_at: Date;
}

export interface Page<Row> {
  rows: Row[];
  /** What the next page starts behind, or null on the last one. */
  next: string[] | null;
}
