import type { PoolClient } from 'pg';
import { newId } from '../ids.ts';
import { jsonb } from './database.ts';
import { notifyDue } from './due.ts';
import { priorityOf } from './priority.ts';
import { type StoredBroadcast, type StoredDelivery, type StoredEvent, stamp } from './rows.ts';

/** Callbacks are tried more patiently than messages: nobody reads them late in vain. */
const callbackAttempts = 10;

/** A delivery that another one's outcome brings about: a callback, or an escalation. */
export type Follower = StoredDelivery;

/**
 * For each of these deliveries one at its destination's fallback, recorded on both sides. None that was escalated before is again.
 * Where the broadcast goes there anyway, that delivery is named instead of sending twice; which also bounds every chain.
 */
export async function fallbacksFor(
  client: PoolClient,
  failed: readonly StoredDelivery[],
  rows: ReadonlyMap<string, StoredDelivery>,
  now: Date,
): Promise<{ escalated: StoredDelivery[]; followers: Follower[] }> {
  const waiting = failed.filter((row) => row.role === 'message' && !row.escalated_to);
  if (waiting.length === 0) return { escalated: [], followers: [] };
  const { rows: fallbacks } = await client.query<{ from: string; name: string; kind: string; max_attempts: number }>({
    name: 'find-fallbacks',
    text: `
select t.name as from, f.name, f.kind, (f.policy ->> 'maxAttempts')::int as max_attempts
  from destinations t
  cross join lateral (select name, kind, policy from destinations where name = t.fallback offset 0) f
 where t.name = any($1)`,
    values: [[...new Set(waiting.map(({ destination }) => destination))]],
  });
  const fallbackOf = new Map(fallbacks.map((fallback) => [fallback.from, fallback]));
  const placeOf = (row: { broadcast_id: string; destination: string }) => `${row.broadcast_id} ${row.destination}`;
  const places = new Map([...rows.values()].filter(isMessage).map((row) => [placeOf(row), row]));
  const escalated: StoredDelivery[] = [];
  const followers: Follower[] = [];
  for (const row of waiting) {
    const fallback = fallbackOf.get(row.destination);
    if (!fallback) continue;
    const place = placeOf({ broadcast_id: row.broadcast_id, destination: fallback.name });
    let follower = places.get(place);
    if (!follower) {
      follower = {
        ...blank(row, now),
        id: newId('dl'),
        destination: fallback.name,
        kind: fallback.kind,
        required: row.required,
        topic: row.topic,
        max_attempts: fallback.max_attempts,
        desired: row.desired,
        expires_at: null,
        escalated_from: row.id,
      };
      places.set(place, follower);
      followers.push(follower);
    }
    row.escalated_to = follower.id;
    row.updated_at = now;
    escalated.push(row);
  }
  if (escalated.length === 0) return { escalated, followers };
  await client.query({
    name: 'record-escalations',
    text: `
update deliveries d set escalated_to = g.follower, updated_at = $3, ${stamp}
  from unnest($1::text[], $2::text[]) as g (id, follower) where d.id = any($1) and d.id = g.id`,
    values: [escalated.map(({ id }) => id), escalated.map(({ escalated_to: to }) => to), now],
  });
  return { escalated, followers };
}

/** The callbacks that a broadcast asked for and that these changes bring about. */
export function callbacksFor(
  broadcast: StoredBroadcast,
  { ended, updated, converged }: { ended: readonly StoredDelivery[]; updated: boolean; converged: boolean },
  now: Date,
): Follower[] {
  const { callback, state, converged_at } = broadcast;
  if (!callback) return [];
  const verdict = { state, convergedAt: converged_at?.toISOString() ?? null };
  const events = [
    ...ended
      .filter((row) => row.state === 'confirmed')
      .map(({ id }) => ({ type: 'delivery.confirmed', deliveryId: id })),
    ...ended.filter((row) => row.state === 'dead').map(({ id }) => ({ type: 'delivery.dead', deliveryId: id })),
    ...(updated || ended.length > 0 ? [{ type: 'broadcast.updated' }] : []),
    ...(converged ? [{ type: 'broadcast.converged', verdict }] : []),
  ].filter(({ type }) => callback.events.includes(type));
  const happened = { timestamp: now.toISOString(), revision: broadcast.revision };
  return events.map((event) => callbackRow(broadcast, callback.url, { ...event, ...happened }, now));
}

/** Writes new deliveries, and tells the drainers. */
export async function recordFollowers(client: PoolClient, followers: readonly Follower[]): Promise<void> {
  if (followers.length === 0) return;
  await client.query({
    name: 'record-followers',
    text: `
insert into deliveries (id, broadcast_id, role, destination, kind, event, required, priority, topic, max_attempts, desired,
                        expires_at, escalated_from, due_at, waiting_since, created_at, updated_at)
select id, broadcast_id, role, destination, kind, nullif(event, 'null'), required, priority, topic, max_attempts, desired,
       expires_at, escalated_from, due_at, waiting_since, created_at, updated_at
  from jsonb_to_recordset($1::jsonb) as g (
    id text, broadcast_id text, role text, destination text, kind text, event jsonb, required boolean, priority smallint,
    topic text, max_attempts integer, desired integer, expires_at timestamptz, escalated_from text,
    -- The times that the callbacks of this transaction already tell.
    due_at timestamptz, waiting_since timestamptz, created_at timestamptz, updated_at timestamptz)`,
    values: [jsonb(followers)],
  });
  await notifyDue(
    client,
    followers.map(({ destination }) => destination),
  );
}

function callbackRow(broadcast: StoredBroadcast, url: string, event: StoredEvent, now: Date): StoredDelivery {
  return {
    ...blank({ broadcast_id: broadcast.id, priority: priorityOf(broadcast.severity) }, now),
    id: newId('dl'),
    role: 'callback',
    destination: `callback:${new URL(url).host}`,
    kind: 'callback',
    event,
    required: false,
    max_attempts: callbackAttempts,
  };
}

export function isFailure({ state }: StoredDelivery): boolean {
  return state === 'dead' || state === 'unknown' || state === 'expired';
}

function isMessage({ role }: StoredDelivery): boolean {
  return role === 'message';
}

/** A delivery that has not begun, of the same broadcast. Its number is given when it is recorded; until then it is the youngest. */
function blank({ broadcast_id, priority }: Pick<StoredDelivery, 'broadcast_id' | 'priority'>, now: Date) {
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
    due_at: now,
    expires_at: null,
    waiting_since: now,
    created_at: now,
    updated_at: now,
    ended_at: null,
  };
}
