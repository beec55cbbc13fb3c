import type { PoolClient } from 'pg';
import { jsonb } from './database.ts';
import { dueChannel, duePayload } from './due.ts';
import { stamp } from './rows.ts';

/** So many at once: ten thousand in one statement would keep everybody who settles there waiting. The sweep frees the rest. */
const chunk = 500;

export type Released =
  /** What waited for this at one destination, the most urgent and then the oldest first: a chunk of it. */
  | { destination: string; hold: 'paused' | 'breaker' }
  /** What waited behind these deliveries of a topic, which have just ended: the next one each. */
  | { topicsAfter: readonly { destination: string; topic: string | null }[] };

/** Lets held deliveries go on: due now. What another obstacle still forbids is held again by claim. Answers how many. */
export async function release(client: PoolClient, which: Released): Promise<number> {
  if ('hold' in which) {
    return free(
      client,
      'release-place',
      `id = any(array(select id from deliveries where destination = $1 and hold = $2 and state = 'held'
                       order by priority, seq limit ${chunk} for no key update skip locked))`,
      [which.destination, which.hold],
    );
  }
  const ended = which.topicsAfter.filter(({ topic }) => topic !== null);
  if (ended.length === 0) return 0;
  return free(
    client,
    'release-topics',
    `hold = 'topic' and id = any(array(
       select h.id
         from jsonb_to_recordset($1::jsonb) as g (destination text, topic text)
         cross join lateral (
           select id from deliveries
            where destination = g.destination and topic = g.topic and state = 'held' and hold = 'topic'
            order by seq limit 1) h))`,
    [jsonb(ended.map(({ destination, topic }) => ({ destination, topic })))],
  );
}

async function free(client: PoolClient, name: string, which: string, values: unknown[]): Promise<number> {
  const { rows } = await client.query<{ n: number }>({
    name,
    text: `
with released as (
  update deliveries set state = 'pending', hold = null, due_at = now(), updated_at = now(), ${stamp}
   where state = 'held' and ${which}
  returning destination
), woken as (
  select pg_notify('${dueChannel}', ${duePayload('destination')}) from released having count(*) > 0
)
select count(*)::int as n, (select count(*) from woken) as woken from released`,
    values,
  });
  return rows[0]?.n ?? 0;
}
