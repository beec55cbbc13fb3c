import { budgetOf } from './budget.ts';
import type { Database } from './database.ts';

export interface Measures {
  /**
   * Deliveries that are open, or ended where a person may have to look, each count at most `mostCounted`. Confirmed ones are not
   * counted: they are too many. Those to callback URLs, which clients choose, count together as the destination `callback`.
   */
  deliveries: { destination: string; state: string; n: number }[];
  /** Destinations at which deliveries are held for the destination's own sake. */
  stopped: { destination: string; by: 'paused' | 'breaker' | 'rate-limit' }[];
  /** Age in seconds of the oldest open delivery that is not waiting for a person; 0 when none is. */
  oldestOpenSeconds: number;
  /** Deliveries that are due and wait for their turn. */
  due: number;
}

/** No count is higher than this, for each destination and state: history grows without end, and must not make measuring slower. */
export const mostCounted = 10_000;

/** Each part names the index that has all of it. */
const underWay = `(
  select role, destination, state, created_at, due_at from deliveries where due_at is not null
  union all
  select role, destination, state, created_at, due_at from deliveries where lease_until is not null)`;

const unconfirmed = `state in ('dead', 'unknown', 'expired', 'cancelled', 'superseded')`;

/** Rows of an index, counted up to the bound. */
const bounded = (where: string) => `(select count(*)::int as n from (
  select from deliveries where ${where} limit ${mostCounted}) counted)`;

/** What the metrics tell about the whole ledger. Reads only indexes of open and failed deliveries. */
export async function measure(db: Database): Promise<Measures> {
  const { rows } = await db.query<Measures>(
    `with under_way as materialized (
       select case when role = 'callback' then 'callback' else destination end as destination, state, count(*)::int as n,
              min(created_at) as oldest, (count(*) filter (where due_at <= now()))::int as due
         from ${underWay} d group by 1, 2
     ), counts as (
       select destination, state, sum(n)::int as n from (
         select destination, state, n from under_way
         union all
         select t.name, 'held', c.n from destinations t
          cross join lateral ${bounded(`destination = t.name and state = 'held'`)} c
         union all
         select t.name, s.state, c.n from destinations t
          cross join unnest(array['dead', 'unknown', 'expired']) s (state)
          cross join lateral ${bounded(`destination = t.name and state = s.state and ${unconfirmed}`)} c
         union all
         select 'callback', s.state, c.n from unnest(array['dead', 'unknown', 'expired']) s (state)
          cross join lateral ${bounded(`state = s.state and role = 'callback' and ${unconfirmed}`)} c) each
        where n > 0
        group by destination, state)
     select coalesce((select jsonb_agg(c) from counts c), '[]') as deliveries,
            coalesce((select jsonb_agg(s) from (
              select name as destination, 'paused' as by from destinations where paused_at is not null
              union all
              select name, 'breaker' from destinations where breaker_until is not null
              union all
              select name, 'rate-limit' from destinations t
               where exists (select from budgets g where g.budget = ${budgetOf} and g.blocked_until > now())) s), '[]') as stopped,
            coalesce(extract(epoch from now() - least(
              (select min(oldest) from under_way),
              (select min(first.created_at) from destinations t
                cross join (values ('breaker'), ('topic')) h (hold)
                cross join generate_series(1, 4) p (priority)
                cross join lateral (
                  select created_at from deliveries
                   where destination = t.name and state = 'held' and hold = h.hold and priority = p.priority
                   order by seq limit 1) first)))::float8, 0) as "oldestOpenSeconds",
            coalesce((select sum(due) from under_way), 0)::int as due`,
  );
  return rows[0] as Measures;
}
