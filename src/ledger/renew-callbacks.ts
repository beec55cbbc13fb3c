import type { PoolClient } from 'pg';
import { jsonb } from './database.ts';
import { type StoredDelivery, type StoredEvent, stamp } from './rows.ts';

/** Each time counts that a broadcast converges: that event is never replaced by a newer one. */
const kept = 'broadcast.converged';

/**
 * Bounds what waits for a receiver that is slow or away: an event that was not delivered yet gives way to a newer one of its type about
 * the same delivery or broadcast, for both would tell the same present state. One that was never tried takes the newer event
 * over, in its place and under its id. One that was tried may have been received: it ends superseded, and the newer event gets an id
 * of its own. What is in flight is left alone. Answers which followers are still to be recorded.
 */
export async function renewCallbacks(
  client: PoolClient,
  followers: readonly StoredDelivery[],
  now: Date,
): Promise<StoredDelivery[]> {
  const renewing = followers.filter(({ event }) => event && event.type !== kept);
  if (renewing.length === 0) return [...followers];
  // What a claim holds just now is on its way, and is not waited for.
  const { rows: older } = await client.query<{ id: string; claims: number; broadcast_id: string; event: StoredEvent }>({
    name: 'find-older-callbacks',
    text: `
select id, claims, broadcast_id, jsonb_build_object('type', event -> 'type', 'deliveryId', event -> 'deliveryId') as event
  from deliveries
 where id = any(array(
   select d.id
     from jsonb_to_recordset($1::jsonb) as g (broadcast_id text, type text, subject text)
     cross join lateral (
       select id from deliveries
        where broadcast_id = g.broadcast_id and role = 'callback' and ended_at is null
          and event ->> 'type' = g.type and coalesce(event ->> 'deliveryId', '') = g.subject offset 0) d))
   and role = 'callback' and ended_at is null and state <> 'sending'
 order by seq for no key update skip locked`,
    values: [
      jsonb(
        renewing.map(({ broadcast_id, event }) => ({
          broadcast_id,
          type: event?.type,
          subject: event?.deliveryId ?? '',
        })),
      ),
    ],
  });
  if (older.length === 0) return [...followers];
  const olderOf = Map.groupBy(older, aboutOf);
  const renewed: { id: string; event: StoredEvent | null }[] = [];
  const superseded: string[] = [];
  const recorded = followers.filter((follower) => {
    const rows = olderOf.get(aboutOf(follower)) ?? [];
    const untried = rows.find(({ claims }) => claims === 0);
    if (untried) renewed.push({ id: untried.id, event: follower.event });
    superseded.push(...rows.filter((row) => row !== untried).map(({ id }) => id));
    return !untried;
  });
  await client.query({
    name: 'renew-callbacks',
    text: `
update deliveries d set event = g.event, updated_at = $3, ${stamp}
  from jsonb_to_recordset($1::jsonb) as g (id text, event jsonb) where d.id = any($2) and d.id = g.id`,
    values: [jsonb(renewed), renewed.map(({ id }) => id), now],
  });
  await client.query({
    name: 'supersede-callbacks',
    text: `
update deliveries set state = 'superseded', hold = null, due_at = null, updated_at = $2, ended_at = $2, ${stamp} where id = any($1)`,
    values: [superseded, now],
  });
  return recorded;
}

/** What an event is about, and of which type it is. */
function aboutOf({ broadcast_id, event }: { broadcast_id: string; event: StoredEvent | null }): string {
  return event && event.type !== kept ? `${broadcast_id} ${event.type} ${event.deliveryId ?? ''}` : '';
}
