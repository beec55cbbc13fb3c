import type pg from 'pg';
import type { Database } from './database.ts';

/** Of each destination so many, the most urgent first: enough to begin with, and the sweep has the rest. */
const chunk = 500;

/** Rings what waits to be sent to these destinations, in whose lanes it is not any more. The queue ignores a ring that it still has. */
export async function ringWaiting(db: Database | pg.PoolClient, destinations: readonly string[]): Promise<void> {
  await db.query(
    `insert into outbox (delivery_id, destination, priority)
     select d.id, d.destination, d.priority
       from unnest($1::text[]) as g (name)
       cross join lateral (
         select id, destination, priority from deliveries
          where destination = g.name and role = 'message' and state in ('pending', 'verifying', 'retrying') and due_at <= now()
          order by priority, seq limit ${chunk}) d
     -- A taken ring may be on its way to where nobody looks any more: this one has to stay.
     on conflict (delivery_id) do update set taken_until = null`,
    [destinations],
  );
  await db.query(`select pg_notify('tocsin_outbox', '')`);
}
