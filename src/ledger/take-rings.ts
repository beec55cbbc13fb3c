import type { Database } from './database.ts';

/** A taken row comes back by itself after so many milliseconds, should the process that took it die. */
const takenMs = 30_000;
/** And so soon when the queue's server did not take it. */
const retryMs = 1_000;
/** What one destination may have of a batch that others want a part of. */
const share = 100;

export interface Ring {
  id: string;
  destination: string;
  priority: number;
  /** Its job may be delayed, from before it became due earlier: it is to be woken. */
  hurry: boolean;
  /** Nobody has looked at it for long: its job may be one that the queue has, but will not run. */
  again: boolean;
}

/**
 * Takes rings from the outbox, the most urgent and then the oldest first, with a share for each destination. They stay in the
 * outbox, hidden from other takers, until `dropRings` or `putBackRings`: no transaction is open while a queue's server hangs.
 *
 * @param full destinations whose lane takes nothing but critical for now
 * @param shut destinations whose lane takes nothing at all
 */
export async function takeRings(
  db: Database,
  limit: number,
  full: readonly string[] = [],
  shut: readonly string[] = [],
): Promise<Ring[]> {
  const { rows } = await db.query<Ring>({
    name: 'take-rings',
    text: `
with recursive places as (
  -- Every destination in the outbox at the cost of one index probe each: a backlog of a million rings is not read.
  (select destination from outbox order by destination limit 1)
  union all
  select (select o.destination from outbox o where o.destination > p.destination order by o.destination limit 1)
    from places p where p.destination is not null
), open as materialized (
  select destination from places where destination is not null and destination <> all($4)
), chosen as materialized (
  select i.delivery_id
    from open p
    cross join lateral (
      select o.delivery_id, o.priority, o.created_at from outbox o
       where o.destination = p.destination and (o.taken_until is null or o.taken_until <= now())
         and o.priority <= case when p.destination = any($3) then 1 else 4 end
       order by o.priority, o.created_at
       limit greatest($5, $1 / (select greatest(count(*), 1) from open))) i
   order by i.priority, i.created_at
   limit $1
), taken as (
  update outbox o set taken_until = now() + $2 * interval '1 ms'
   where o.delivery_id = any(array(
     -- Chosen without a lock, so another relay may have been quicker: the condition is looked at again.
     select i.delivery_id from outbox i
      where i.delivery_id = any(array(select delivery_id from chosen)) and (i.taken_until is null or i.taken_until <= now())
        for update skip locked))
  returning o.delivery_id, o.destination, o.priority, o.created_at, o.hurry, o.again)
select delivery_id as id, destination, priority, hurry, again from taken order by priority, created_at`,
    values: [limit, takenMs, full, shut, share],
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
