import type { Action, Receipt } from '../delivery/outcome.ts';
import type { Message } from '../message.ts';
import type { Policy } from '../policy.ts';
import type { Database } from './database.ts';
import type { StoredEvent } from './rows.ts';

/** A lease outlasts its attempt's deadline by so many milliseconds, so that only a dead process, or one that slept, loses it. */
export const leaseMarginMs = 8_000;
/** A look that found nothing vouches for this long that nothing is there; then it has to be repeated before a send. */
const absenceHoldsMs = 10_000;

/** A delivery that is ours to attempt, with everything the attempt needs. Secrets are still sealed. */
export interface Claimed {
  id: string;
  /** Names this claim: only an outcome that carries it is accepted. */
  claim: number;
  action: Action;
  revision: number;
  kind: string;
  destination: string;
  broadcastId: string;
  startedAt: Date;
  /** When an earlier send that may have landed began, else `startedAt`. */
  since: Date;
  receipt: Receipt | null;
  root: Receipt | null;
  /** Where the newest send went, as its kind describes it; null where the kind does not. */
  place: Record<string, string> | null;
  message: Message;
  retracted: boolean;
  topic: string | null;
  correlationId: string;
  traceparent: string | null;
  metadata: Record<string, string>;
  createdAt: Date;
  /** Set for callbacks only. */
  event: StoredEvent | null;
  callback: { url: string } | null;
  callbackSecret: Buffer | null;
  /** Changes with the destination. Null when it was removed, and for callbacks; the next three too. */
  destinationVersion: string | null;
  settings: unknown;
  secrets: Buffer | null;
  policy: Policy | null;
  crossLinks: { text: string; url: string }[];
  /** Tries made for this revision, this one included, and those of them that were free. */
  attempt: number;
  uncounted: number;
  maxAttempts: number;
  /** The row's version as it was claimed. */
  version: string;
  /** A first send with nothing beside it: no callback, cross-links, topic or doubt. */
  plain: boolean;
}

/** The result of one claim. */
export interface Found {
  claimed: Claimed[];
  /** How many deliveries it held or put off instead, by destination. More may be due behind them. */
  passed: ReadonlyMap<string, number>;
  /** Destinations where other processes left fewer places than were asked for. All places are taken now, and more may be due. */
  crowded: ReadonlySet<string>;
}

/** What one drainer asks for: the places it has free at a destination. */
export interface Lane {
  destination: string;
  /** The most to claim now. */
  places: number;
  /** The most attempts in flight at the destination, over all processes. */
  concurrency: number;
  /** Milliseconds between two claims, over all processes; null without a rate limit. */
  stepMs: number | null;
}

/**
 * Claims what is due in these lanes for one attempt each, the most urgent first (`claim_due` in 016-claim.sql). One statement: the rows
 * in state `sending`, with their leases, are durable before anything is sent. A delivery becomes `held` when its destination is paused,
 * its breaker is open, or an earlier broadcast of its topic is open there. A delivery that may not go yet gets a later due time. A row
 * that another process works on is passed over, and so is a destination at which another process claims in the same moment.
 */
export async function claimDue(db: Database, lanes: readonly Lane[]): Promise<Found> {
  const column = <Name extends keyof Lane>(name: Name) => lanes.map((lane) => lane[name]);
  const { rows } = await db.query<Row>({
    name: 'claim-due',
    text: 'select * from claim_due($1, $2, $3, $4, $5, $6)',
    values: [
      column('destination'),
      column('places'),
      column('concurrency'),
      column('stepMs'),
      leaseMarginMs,
      absenceHoldsMs,
    ],
  });
  const passed = new Map<string, number>();
  const crowded = new Set<string>();
  for (const { id, destination, claims } of rows) {
    if (id !== null) continue;
    if (claims === 0) crowded.add(destination);
    else passed.set(destination, (passed.get(destination) ?? 0) + 1);
  }
  return { claimed: taken(rows), passed, crowded };
}

/** Claims these deliveries, as far as they are due and nothing stands in their way: `claimDue` for those who know what they want. */
export async function claim(db: Database, ids: readonly string[]): Promise<Claimed[]> {
  const { rows } = await db.query<Row>({
    name: 'claim',
    text: `select * from claim_carefully(array(
      select id from deliveries where id = any($1) and due_at <= now() order by id for no key update skip locked), '{}', '{}', $2, $3)`,
    values: [ids, leaseMarginMs, absenceHoldsMs],
  });
  return taken(rows);
}

/** The type `claimed` of the database. Without an id: a delivery of the destination that was held or put off, or a crowded one. */
interface Row {
  id: string | null;
  destination: string;
  claims: number;
  action: Action;
  sending_revision: number;
  kind: string;
  broadcast_id: string;
  receipt: Receipt | null;
  root: Receipt | null;
  place: Record<string, string> | null;
  suspect: { since: string } | null;
  topic: string | null;
  event: StoredEvent | null;
  started_at: Date;
  attempt: number;
  uncounted: number;
  max_attempts: number;
  version: string;
  plain: boolean;
  correlation_id: string;
  traceparent: string | null;
  metadata: Record<string, string>;
  created_at: Date;
  retracted: boolean;
  callback: { url: string } | null;
  callback_secret: Buffer | null;
  cross_links: { text: string; url: string }[] | null;
  destination_version: string | null;
  settings: unknown;
  secrets: Buffer | null;
  policy: Policy | null;
  /** Null where another row of the same text has it. */
  message: Message | null;
}

function taken(rows: readonly Row[]): Claimed[] {
  const texts = new Map<string, Message>();
  const textOf = ({ broadcast_id, sending_revision }: Row) => `${broadcast_id} ${sending_revision}`;
  for (const row of rows) if (row.message) texts.set(textOf(row), row.message);
  return rows.flatMap((row) =>
    row.id === null ? [] : [claimedFrom({ ...row, id: row.id }, texts.get(textOf(row)) as Message)],
  );
}

function claimedFrom(row: Row & { id: string }, message: Message): Claimed {
  return {
    id: row.id,
    claim: row.claims,
    action: row.action,
    revision: row.sending_revision,
    kind: row.kind,
    destination: row.destination,
    broadcastId: row.broadcast_id,
    startedAt: row.started_at,
    since: row.suspect ? new Date(row.suspect.since) : row.started_at,
    receipt: row.receipt,
    root: row.root,
    place: row.place,
    message,
    retracted: row.retracted,
    topic: row.topic,
    correlationId: row.correlation_id,
    traceparent: row.traceparent,
    metadata: row.metadata,
    createdAt: row.created_at,
    event: row.event,
    callback: row.callback,
    callbackSecret: row.callback_secret,
    destinationVersion: row.destination_version,
    settings: row.settings,
    secrets: row.secrets,
    policy: row.policy,
    crossLinks: row.cross_links ?? [],
    attempt: row.attempt,
    uncounted: row.uncounted,
    maxAttempts: row.max_attempts,
    version: row.version,
    plain: row.plain,
  };
}
