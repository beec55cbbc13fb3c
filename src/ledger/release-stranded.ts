import { type Database, transaction } from './database.ts';
import { release } from './release.ts';

/** The destinations at which anything is held, at one index probe each, however much that is: SQL to begin a statement with. */
export const heldPlaces = `with recursive places as (
  (select destination from deliveries where state = 'held' order by destination limit 1)
  union all
  select (select d.destination from deliveries d
           where d.state = 'held' and d.destination > p.destination order by d.destination limit 1)
    from places p where p.destination is not null)`;

/**
 * Frees deliveries held by a pause or breaker that is over, a chunk of each destination's at a time. Who removes the reason frees the
 * first chunk; this goes on with the rest, and finds what was being held in the very moment in which the reason went. Answers how many.
 */
export async function releaseStranded(db: Database): Promise<number> {
  return transaction(db, async (client) => {
    const { rows: gone } = await client.query<{ destination: string; hold: 'paused' | 'breaker' }>(
      `${heldPlaces}
       select p.destination, h.hold
         from places p
         cross join (values ('paused'), ('breaker')) as h (hold)
         left join destinations t on t.name = p.destination
        where case h.hold when 'paused' then t.paused_at is null else t.breaker_until is null end
          and exists (
            select from deliveries where destination = p.destination and hold = h.hold and state = 'held' offset 0)`,
    );
    let freed = 0;
    for (const what of gone) freed += await release(client, what);
    return freed;
  });
}
