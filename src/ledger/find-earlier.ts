import type { Database } from './database.ts';
import type { DeliveryRow } from './rows.ts';

/**
 * The deliveries, those that are held by their topic with the earliest broadcast of it that is still open there: the one to look at, for
 * those in between wait too. Reads a topic's history at a destination, hence for single reads and not for lists.
 */
export async function findEarlier(db: Database, deliveries: DeliveryRow[]): Promise<DeliveryRow[]> {
  const held = deliveries.filter(({ hold }) => hold === 'topic').map(({ id }) => id);
  if (held.length === 0) return deliveries;
  const { rows } = await db.query<{ id: string; behind: string }>(
    `select d.id, earliest.broadcast_id as behind
       from deliveries d
       cross join lateral (
         select e.broadcast_id from deliveries e
          where e.destination = d.destination and e.topic = d.topic and e.seq < d.seq
            and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held')
          order by e.seq limit 1) earliest
      where d.id = any($1)`,
    [held],
  );
  const found = new Map(rows.map(({ id, behind }) => [id, behind]));
  return deliveries.map((row) => ({ ...row, behind: found.get(row.id) }));
}
