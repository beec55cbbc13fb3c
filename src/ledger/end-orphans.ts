import { conclude, lockBroadcasts } from './conclude.ts';
import { type Database, transaction } from './database.ts';
import { heldPlaces } from './release-stranded.ts';
import type { StoredDelivery } from './rows.ts';
import { ended } from './unsent.ts';
import { writeDeliveries } from './write-deliveries.ts';

/**
 * Ends what can never be sent because its destination was removed in the very moment in which the delivery was recorded: dead, and
 * saying why. What is in flight is left to settle. Answers how many that were.
 */
export async function endOrphans(db: Database, limit: number): Promise<number> {
  return transaction(db, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `${heldPlaces}, due_places as (
         (select destination from deliveries where due_at is not null order by destination limit 1)
         union all
         (select (select d.destination from deliveries d
                   where due_at is not null and d.destination > p.destination order by d.destination limit 1)
            from due_places p where p.destination is not null))
       select d.id
         from (select destination from places union select destination from due_places) p
         cross join lateral (
           (select id from deliveries where destination = p.destination and due_at is not null limit $1)
           union all
           (select id from deliveries where destination = p.destination and state = 'held' limit $1)) d
        where p.destination not like 'callback:%'
          and not exists (select from destinations t where t.name = p.destination)
        limit $1`,
      [limit],
    );
    if (rows.length === 0) return 0;
    const orphans = new Set(rows.map(({ id }) => id));
    const standings = await lockBroadcasts(client, { ofDeliveries: [...orphans] });
    const changed = standings.deliveries
      .filter((row) => orphans.has(row.id) && row.ended_at === null && row.state !== 'sending')
      .map((row): StoredDelivery => {
        const message = `The destination ${row.destination} does not exist any more.`;
        const last_error = { class: 'permanent' as const, reason: 'destination_removed', message, status: null };
        // One that may have landed is not known to be dead.
        const state = row.suspect || row.doubtful ? 'unknown' : 'dead';
        return { ...ended(row, 'cancelled', standings.now), state, last_error };
      });
    await writeDeliveries(client, changed);
    await conclude(client, standings, changed);
    return changed.length;
  });
}
