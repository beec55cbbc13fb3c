import type { Database } from './database.ts';

/** A taken row comes back by itself after so many milliseconds, should the process that took it die. */
const takenMs = 30_000;
/** And so soon when the queue's server did not take it. */
const retryMs = 1_000;

export interface Ring {
  id: string;
  destination: string;
  priority: number;
}

/**
 * Takes rings from the outbox, the most urgent and then the oldest first, leaving those for lanes that are `full`. They stay in the
 * outbox, hidden from other takers, until `dropRings` or `putBackRings`: no transaction is open while a queue's server hangs.
 */
export async function takeRings(db: Database, limit: number, full: readonly string[]): Promise<Ring[]> {
  const { rows } = await db.query<Ring>({
    name: 'take-rings',
    text: `
with taken as (
  update outbox o set taken_until = now() + $2 * interval '1 ms'
   where o.delivery_id in (
     select i.delivery_id from outbox i join deliveries d on d.id = i.delivery_id
      where (i.taken_until is null or i.taken_until <= now()) and d.destination <> all($3)
      order by i.priority, i.created_at limit $1
        for update of i skip locked)
  returning o.delivery_id, o.priority, o.created_at)
select d.id, d.destination, t.priority from taken t join deliveries d on d.id = t.delivery_id
 order by t.priority, t.created_at`,
    values: [limit, takenMs, full],
  });
  return rows;
}

/** The queue has them. One that was rung again meanwhile stays. */
export async function dropRings(db: Database, ids: readonly string[]): Promise<void> {
  await db.query({
    name: 'drop-rings',
    text: 'delete from outbox where delivery_id = any($1) and taken_until is not null',
    values: [ids],
  });
}

/** The queue would not have them: soon again. */
export async function putBackRings(db: Database, ids: readonly string[]): Promise<void> {
  await db.query(`update outbox set taken_until = now() + $2 * interval '1 ms' where delivery_id = any($1)`, [
    ids,
    retryMs,
  ]);
}
