import type { Database } from './database.ts';

/** A delivery this late, in milliseconds, was forgotten by the queue: its job normally comes within a few of them. */
const lateMs = 5_000;
/**
 * A ring that was not followed for so long, in milliseconds, is repeated: the queue may have been emptied. Then after longer and longer,
 * up to the longest: most of what waits, waits in a lane that is merely slow.
 */
const repeatMs = 30_000;
const longestRepeatMs = 300_000;

/**
 * Rings due deliveries that nobody looked at: the queue lost them, or they were due too far ahead to be queued. The relay
 * mends a job that the queue still has, but will not run. Answers how many.
 */
export async function ringOverdue(db: Database, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    `with late as (
       select id from deliveries d
        where state in ('pending', 'verifying', 'retrying') and due_at <= now() - $2 * interval '1 ms'
          and (rung_at < due_at
               or rung_at <= now() - least(greatest((rung_at - due_at) / 2, $3 * interval '1 ms'), $4 * interval '1 ms'))
          -- What still waits in the outbox cannot have been lost, and a full lane's backlog is not written to again and again.
          and not exists (select from outbox o where o.delivery_id = d.id offset 0)
        order by due_at limit $1
          for no key update skip locked
     ), rung as (
       update deliveries d set rung_at = now() where d.id = any(array(select id from late)) returning d.id, d.destination, d.priority)
     insert into outbox (delivery_id, destination, priority, again) select id, destination, priority, true from rung
     on conflict (delivery_id) do nothing`,
    [limit, lateMs, repeatMs, longestRepeatMs],
  );
  if (rowCount) await db.query(`select pg_notify('tocsin_outbox', '')`);
  return rowCount ?? 0;
}
