import { type Database, transaction } from './database.ts';
import { release } from './release.ts';

/**
 * Frees held deliveries whose reason is gone, of a pause or breaker a chunk at a time. Who removes a reason frees the first chunk; this
 * goes on with the rest, and finds what was being held in the very moment in which the reason went. Answers how many.
 */
export async function releaseStranded(db: Database, limit: number): Promise<number> {
  return transaction(db, async (client) => {
    const { rows: gone } = await client.query<{ destination: string; hold: 'paused' | 'breaker' }>(
      `with recursive places as (
         -- The destinations at which anything is held, at one index probe each, however much that is.
         (select destination from deliveries where state = 'held' order by destination limit 1)
         union all
         select (select d.destination from deliveries d
                  where d.state = 'held' and d.destination > p.destination order by d.destination limit 1)
           from places p where p.destination is not null)
       select p.destination, h.hold
         from places p
         cross join (values ('paused'), ('breaker')) as h (hold)
         left join destinations t on t.name = p.destination
        where case h.hold when 'paused' then t.paused_at is null else t.breaker_until is null end
          and exists (select from deliveries d where d.destination = p.destination and d.hold = h.hold and d.state = 'held')`,
    );
    let freed = 0;
    for (const what of gone) freed += await release(client, what);
    const { rows: unblocked } = await client.query<{ destination: string; topic: string }>(
      `select distinct d.destination, d.topic
         from deliveries d
        where d.state = 'held' and d.hold = 'topic' and not exists (
          select from deliveries e
           where e.destination = d.destination and e.topic = d.topic and e.seq < d.seq
             and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held'))
        limit $1`,
      [limit],
    );
    return freed + (await release(client, { topicsAfter: unblocked }));
  });
}
