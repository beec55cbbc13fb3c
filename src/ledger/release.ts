import type { PoolClient } from 'pg';

export type Released =
  /** Everything at one destination that waited for this. */
  | { destination: string; hold: 'paused' | 'breaker' }
  /** What waited behind these deliveries of a topic, which have just ended: the next one each. */
  | { topicsAfter: readonly { destination: string; topic: string | null }[] };

/** Lets held deliveries go on: due now, and rung. What another obstacle still forbids is held again by claim. Answers how many. */
export async function release(client: PoolClient, which: Released): Promise<number> {
  if ('hold' in which) return ring(client, 'destination = $1 and hold = $2', [which.destination, which.hold]);
  const ended = which.topicsAfter.filter(({ topic }) => topic !== null);
  if (ended.length === 0) return 0;
  return ring(
    client,
    `hold = 'topic' and id in (
       select h.id
         from jsonb_to_recordset($1::jsonb) as g (destination text, topic text)
         cross join lateral (
           select id from deliveries
            where destination = g.destination and topic = g.topic and state = 'held' and hold = 'topic'
            order by seq limit 1) h)`,
    [JSON.stringify(ended.map(({ destination, topic }) => ({ destination, topic })))],
  );
}

async function ring(client: PoolClient, which: string, values: unknown[]): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    `with released as (
       update deliveries set state = 'pending', hold = null, due_at = now(), rung_at = now(), updated_at = now()
        where state = 'held' and ${which}
       returning id, priority
     ), rung as (
       insert into outbox (delivery_id, priority) select id, priority from released
       on conflict (delivery_id) do nothing
     )
     select count(*)::int as n, (select pg_notify('tocsin_outbox', '') from (select from released limit 1) r) from released`,
    values,
  );
  return rows[0]?.n ?? 0;
}
