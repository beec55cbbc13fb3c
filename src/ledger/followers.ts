import type { PoolClient } from 'pg';
import { newId } from '../ids.ts';
import { priorityOf } from './priority.ts';
import { representBroadcast } from './represent.ts';
import type { StoredBroadcast, StoredDelivery } from './rows.ts';

/** Callbacks are tried more patiently than messages: nobody reads them late in vain. */
const callbackAttempts = 10;

/** A delivery that another one's outcome brings about: a callback, or an escalation. */
export type Follower = StoredDelivery;

/**
 * For each delivery that ended dead, unknown or expired: one at its destination's fallback, recorded on both sides. Where the
 * broadcast goes there anyway, that delivery is named instead of sending twice; which also bounds every chain.
 */
export async function fallbacksFor(
  client: PoolClient,
  ended: readonly StoredDelivery[],
  rows: ReadonlyMap<string, StoredDelivery>,
): Promise<Follower[]> {
  const failed = ended.filter((row) => row.role === 'message' && isFailure(row.state) && !row.escalated_to);
  if (failed.length === 0) return [];
  const { rows: fallbacks } = await client.query<{ from: string; name: string; kind: string; max_attempts: number }>(
    `select t.name as from, f.name, f.kind, (f.policy ->> 'maxAttempts')::int as max_attempts
       from destinations t join destinations f on f.name = t.fallback where t.name = any($1)`,
    [failed.map(({ destination }) => destination)],
  );
  const followers: Follower[] = [];
  for (const after of failed) {
    const fallback = fallbacks.find(({ from }) => from === after.destination);
    if (!fallback) continue;
    const known = [...rows.values(), ...followers].find(
      (row) => row.broadcast_id === after.broadcast_id && row.role === 'message' && row.destination === fallback.name,
    );
    const row = known ?? {
      ...blank(after),
      id: newId('dl'),
      destination: fallback.name,
      kind: fallback.kind,
      required: after.required,
      topic: after.topic,
      max_attempts: fallback.max_attempts,
      desired: after.desired,
      expires_at: null,
      escalated_from: after.id,
    };
    if (!known) followers.push(row);
    after.escalated_to = row.id;
    await client.query('update deliveries set escalated_to = $2 where id = $1', [after.id, row.id]);
  }
  return followers;
}

/** The callbacks that a broadcast asked for and that these changes bring about, each with what is true at this moment. */
export function callbacksFor(
  broadcast: StoredBroadcast,
  rows: readonly StoredDelivery[],
  { ended, updated, converged }: { ended: readonly StoredDelivery[]; updated: boolean; converged: boolean },
  now: Date,
): Follower[] {
  const { callback } = broadcast;
  if (!callback) return [];
  const events = [
    ...ended.filter(({ state }) => state === 'confirmed').map((delivery) => ({ type: 'delivery.confirmed', delivery })),
    ...ended.filter(({ state }) => state === 'dead').map((delivery) => ({ type: 'delivery.dead', delivery })),
    ...(updated || ended.length > 0 ? [{ type: 'broadcast.updated' }] : []),
    ...(converged ? [{ type: 'broadcast.converged' }] : []),
  ].filter(({ type }) => callback.events.includes(type));
  if (events.length === 0) return [];

  const data = representBroadcast(broadcast, rows);
  return events.map((event) => callbackRow(broadcast, callback.url, eventBody(event, data, now), now));
}

function eventBody(event: { type: string; delivery?: StoredDelivery }, data: unknown, now: Date) {
  const body = { type: event.type, timestamp: now.toISOString(), data };
  return event.delivery ? { ...body, deliveryId: event.delivery.id } : body;
}

/** Writes new deliveries and their outbox rows. */
export async function recordFollowers(client: PoolClient, followers: readonly Follower[]): Promise<void> {
  if (followers.length === 0) return;
  await client.query(
    `with born as (
       insert into deliveries (id, broadcast_id, role, destination, kind, event, required, priority, topic, max_attempts, desired,
                               expires_at, escalated_from, due_at, rung_at, created_at, updated_at)
       select id, broadcast_id, role, destination, kind, nullif(event, 'null'), required, priority, topic, max_attempts, desired,
              expires_at, escalated_from, due_at, due_at, created_at, updated_at
         from jsonb_to_recordset($1::jsonb) as g (
           id text, broadcast_id text, role text, destination text, kind text, event jsonb, required boolean, priority smallint,
           topic text, max_attempts integer, desired integer, expires_at timestamptz, escalated_from text,
           -- The times that the callbacks of this transaction already tell.
           due_at timestamptz, created_at timestamptz, updated_at timestamptz)
       returning id, destination, priority)
     insert into outbox (delivery_id, destination, priority) select id, destination, priority from born`,
    [JSON.stringify(followers)],
  );
  await client.query(`select pg_notify('tocsin_outbox', '')`);
}

export function callbackRow(broadcast: StoredBroadcast, url: string, event: unknown, now: Date): StoredDelivery {
  return {
    ...blank({ broadcast_id: broadcast.id, priority: priorityOf(broadcast.severity), updated_at: now }),
    id: newId('dl'),
    role: 'callback',
    destination: `callback:${new URL(url).host}`,
    kind: 'callback',
    event: event as StoredDelivery['event'],
    required: false,
    max_attempts: callbackAttempts,
  };
}

function isFailure(state: string): boolean {
  return state === 'dead' || state === 'unknown' || state === 'expired';
}

/** A delivery that has not begun, of the same broadcast. Its number is given when it is recorded; until then it is the youngest. */
function blank({
  broadcast_id,
  priority,
  updated_at,
}: Pick<StoredDelivery, 'broadcast_id' | 'priority' | 'updated_at'>) {
  return {
    seq: Number.MAX_SAFE_INTEGER,
    broadcast_id,
    role: 'message' as const,
    event: null,
    priority,
    topic: null,
    state: 'pending' as const,
    hold: null,
    attempt: 0,
    uncounted: 0,
    claims: 0,
    action: null,
    sending_revision: null,
    desired: 1,
    confirmed: 0,
    receipt: null,
    suspect: null,
    last_error: null,
    cancel_requested: false,
    linking: false,
    doubtful: false,
    unthreaded: false,
    escalated_to: null,
    escalated_from: null,
    due_at: updated_at,
    expires_at: null,
    created_at: updated_at,
    updated_at,
    ended_at: null,
  };
}
