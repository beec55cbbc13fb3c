import { randomBytes } from 'node:crypto';
import type { Rules } from '../../src/delivery/next.ts';
import type { Fault, FaultClass, Outcome, Receipt } from '../../src/delivery/outcome.ts';
import type { DeliveryState } from '../../src/delivery/state.ts';
import { newId } from '../../src/ids.ts';
import { type Accepted, accept, type Intent } from '../../src/ledger/accept.ts';
import { type Claimed, claim } from '../../src/ledger/claim.ts';
import { type Database, openDatabase } from '../../src/ledger/database.ts';
import type { StoredDelivery } from '../../src/ledger/rows.ts';
import { type Settled, type Settlement, settle } from '../../src/ledger/settle.ts';
import { Policy } from '../../src/policy.ts';
import { freshDatabase } from './database.ts';

/** A real ledger, empty, and what tests arrange in it without going through the API and the queue. */
export interface Ledger {
  db: Database;
  url: string;
  /** Forgets everything. */
  clear(): Promise<void>;
  close(): Promise<void>;
}

export async function openLedger(): Promise<Ledger> {
  const { url, drop } = await freshDatabase();
  const db = openDatabase(url);
  return {
    db,
    url,
    clear: async () =>
      void (await db.query(
        'truncate destinations, audiences, broadcasts, revisions, deliveries, attempts, budgets, paces',
      )),
    close: async () => {
      await db.end();
      await drop();
    },
  };
}

export interface GivenDestination {
  kind?: string;
  policy?: Partial<Policy>;
  required?: boolean;
  fallback?: string | null;
  budget?: string | null;
}

/** Fallbacks have to be there first. */
export async function putDestination(db: Database, name: string, given: GivenDestination = {}): Promise<string> {
  const { kind = 'webhook', policy = {}, required = true, fallback = null, budget = null } = given;
  await db.query(
    `insert into destinations (name, kind, settings, secrets, policy, required, fallback, budget)
     values ($1, $2, '{}', '', $3, $4, $5, $6)`,
    [name, kind, Policy.parse(policy), required, fallback, budget],
  );
  return name;
}

export type GivenIntent = Partial<Omit<Intent, 'deliveries'>> & {
  title?: string;
  to?: readonly (string | { name: string; required?: boolean; maxAttempts?: number; kind?: string })[];
};

/** A broadcast to `to` (one destination unless told otherwise), with new ids. */
export function intent({ title = 'P1: checkout is down', to = ['ops'], ...given }: GivenIntent = {}): Intent {
  return {
    id: newId('bc'),
    message: { title, severity: 'info' },
    topic: null,
    correlationId: 'test',
    traceparent: null,
    metadata: {},
    callback: null,
    callbackSecret: null,
    crossLink: false,
    madeBy: 'key_test',
    idempotencyKey: null,
    requestHash: given.idempotencyKey ? Buffer.from(title) : null,
    expiresAt: null,
    ...given,
    deliveries: to.map((one) => {
      const {
        name,
        required = true,
        maxAttempts = 3,
        kind = 'webhook',
      } = typeof one === 'string' ? { name: one } : one;
      return { id: newId('dl'), destination: name, kind, required, maxAttempts };
    }),
  };
}

export interface Recorded {
  id: string;
  /** The ids of its deliveries, in the order of `to`. */
  deliveries: string[];
  /** The first of them. */
  delivery: string;
}

/** Records one broadcast. */
export async function record(db: Database, given: GivenIntent = {}): Promise<Recorded> {
  const wanted = intent(given);
  const [answer] = (await accept(db, [wanted])) as [Accepted];
  if (answer.is !== 'recorded') throw new Error(`the broadcast was not recorded: ${answer.is}`);
  const deliveries = wanted.deliveries.map(({ id }) => id);
  return { id: wanted.id, deliveries, delivery: deliveries[0] ?? '' };
}

/** Claims one delivery; null when it could not be claimed now. */
export async function claimOne(db: Database, id: string): Promise<Claimed | null> {
  const [claimed] = await claim(db, [id]);
  return claimed ?? null;
}

/** Claims what has to be claimable. */
export async function take(db: Database, id: string): Promise<Claimed> {
  const claimed = await claimOne(db, id);
  if (!claimed) throw new Error(`${id} could not be claimed: ${JSON.stringify(await row(db, id))}`);
  return claimed;
}

/** What the tests' kinds can do. */
export const repeatable: Rules = {
  repeatable: true,
  scheduleSeconds: null,
  onUnknown: 'park',
  backoff: { baseMs: 1_000, maxMs: 60_000 },
};
export const verifiable: Rules = { ...repeatable, repeatable: false, scheduleSeconds: [5, 30, 120] };
export const blind: Rules = { ...repeatable, repeatable: false };

export const receipt: Receipt = { at: '2026-03-02T12:00:00.000Z', url: 'https://chat.example.com/1' };
export const success: Outcome = { is: 'success', receipt };
export const absent: Outcome = { is: 'absent' };

export function failed(faultClass: FaultClass, more: Partial<Fault> = {}): Outcome {
  const plain = { class: faultClass, reason: 'test', message: 'A fault.', status: null, retryAfterMs: null };
  return { is: 'fault', fault: { ...plain, ...more } };
}

/** Settles one claim, with full backoff so that what is tried again is never due at once. */
export async function settleOne(
  db: Database,
  { id, claim }: Pick<Claimed, 'id' | 'claim'>,
  outcome: Outcome,
  more: Partial<Settlement> = {},
): Promise<Settled> {
  const [settled] = (await settle(db, [{ id, claim, outcome, rules: repeatable, ...more }], () => 0.99)) as [Settled];
  return settled;
}

/** One whole attempt. */
export async function attempt(
  db: Database,
  id: string,
  outcome: Outcome,
  more: Partial<Settlement> = {},
): Promise<Settled> {
  return settleOne(db, await take(db, id), outcome, more);
}

/** Drives a delivery to this end by the shortest way. */
export async function end(db: Database, id: string, state: 'confirmed' | 'dead' | 'unknown'): Promise<void> {
  const outcome = { confirmed: success, dead: failed('permanent'), unknown: failed('ambiguous') }[state];
  await attempt(db, id, outcome, { rules: blind });
}

/** Lets so many seconds pass for the whole ledger, at once. */
export async function letPass(db: Database, seconds: number): Promise<void> {
  const shift = `- ${seconds} * interval '1 second'`;
  const earlier = (name: string) => `to_jsonb((suspect ->> '${name}')::timestamptz ${shift})`;
  await db.query(`
    update deliveries
       set due_at = due_at ${shift}, started_at = started_at ${shift}, lease_until = lease_until ${shift},
           expires_at = expires_at ${shift}, waiting_since = waiting_since ${shift},
           suspect = case when suspect is not null then suspect || jsonb_build_object(
             'since', ${earlier('since')}, 'from', ${earlier('from')}, 'absentAt', ${earlier('absentAt')}) end;
    update destinations set breaker_until = breaker_until ${shift};
    update paces set next_at = next_at ${shift};
    update budgets set blocked_until = blocked_until ${shift}`);
}

/** The delivery as it is stored, its lease included. */
export type Row = StoredDelivery & { lease_until: Date | null; started_at: Date | null };

export async function row(db: Database, id: string): Promise<Row> {
  const { rows } = await db.query<Row>('select * from deliveries where id = $1', [id]);
  if (!rows[0]) throw new Error(`there is no delivery ${id}`);
  return rows[0];
}

export async function stateOf(db: Database, id: string): Promise<DeliveryState> {
  return (await row(db, id)).state;
}

export async function one<T extends object>(db: Database, sql: string, values: unknown[] = []): Promise<T> {
  const { rows } = await db.query<T>(sql, values);
  if (!rows[0]) throw new Error(`nothing found by ${sql}`);
  return rows[0];
}

/** The ids of the deliveries that drainers would claim now. */
export async function dueNow(db: Database): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>(
    `select id from deliveries where state in ('pending', 'verifying', 'retrying') and due_at <= now() order by id`,
  );
  return rows.map(({ id }) => id);
}

/** The callbacks of a broadcast, in the order in which they were recorded. */
export async function callbacks(db: Database, broadcastId: string): Promise<Row[]> {
  const { rows } = await db.query<Row>(
    `select * from deliveries where broadcast_id = $1 and role = 'callback' order by seq`,
    [broadcastId],
  );
  return rows;
}

export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(4).toString('hex')}`;
}
