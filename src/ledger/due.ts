import type pg from 'pg';
import { ownBudget } from './budget.ts';
import type { Database } from './database.ts';

/** The channel on which processes hear that something became due. The payload names destinations, one a line; empty: look everywhere. */
export const dueChannel = 'tocsin_due';

/** PostgreSQL takes 8,000 bytes: https://www.postgresql.org/docs/current/sql-notify.html */
const longestPayload = 7_900;

/** SQL for the payload that names these destinations, an aggregate over rows with a column of them. */
export const duePayload = (destination: string) =>
  `case when sum(octet_length(${destination}) + 1) < ${longestPayload} then string_agg(distinct ${destination}, e'\\n') else '' end`;

/** Tells all processes that something is due at these destinations, when the transaction commits. A hint: they also poll. */
export async function notifyDue(client: Database | pg.PoolClient, destinations: readonly string[]): Promise<void> {
  if (destinations.length === 0) return;
  await client.query({
    name: 'notify-due',
    text: `select pg_notify('${dueChannel}', ${duePayload('name')}) from unnest($1::text[]) g (name)`,
    values: [[...new Set(destinations)]],
  });
}

export interface Due {
  destination: string;
  /** How long its most overdue delivery could have gone and did not, in milliseconds. */
  lateMs: number;
  /** Since when that one is due. It stays the same where nobody sends. */
  head: string;
  /** Nothing is in flight there. */
  idle: boolean;
}

/**
 * Destinations at which something is due and may go now. Costs a few index probes for each destination with open deliveries, however
 * many wait. Destinations that a rate limit stops are left out.
 */
export async function findDue(db: Database): Promise<Due[]> {
  const { rows } = await db.query<Due>({
    name: 'find-due',
    text: `
with recursive places as (
  (select destination from deliveries where due_at is not null order by destination limit 1)
  union all
  select (select d.destination from deliveries d
           where d.due_at is not null and d.destination > p.destination
           order by d.destination limit 1)
    from places p where p.destination is not null
)
select p.destination, (extract(epoch from now() - greatest(due.at, g.blocked_until, c.next_at)) * 1000)::float8 as "lateMs",
       due.at::text as head,
       not exists (select from deliveries
                    where destination = p.destination and lease_until > now() offset 0) as idle
  from places p
  left join destinations t on t.name = p.destination
  left join budgets g on g.budget = coalesce(t.budget, ${ownBudget('p.destination')})
  left join paces c on c.destination = p.destination
  cross join lateral (
    select min(first.due_at) as at
      from generate_series(1, 4) as g (priority)
      cross join lateral (
        select d.due_at from deliveries d
         where d.destination = p.destination and d.priority = g.priority and d.due_at is not null
         order by d.due_at limit 1) first) due
 where p.destination is not null and due.at <= now()
   and (g.blocked_until > now()) is not true
   -- A step is no longer than the limit's span. A later one is of a slower limit that was replaced.
   and (c.next_at > now() and c.next_at <= now() + (t.policy #>> '{rateLimit,perMs}')::int * interval '1 ms') is not true`,
  });
  return rows;
}
