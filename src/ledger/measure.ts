import { budgetOf } from './budget.ts';
import type { Database } from './database.ts';

export interface Measures {
  /** Deliveries that are open, or ended where a person may have to look. Confirmed ones are not counted: they are too many. */
  deliveries: { destination: string; state: string; n: number }[];
  /** Destinations at which deliveries are held for the destination's own sake. */
  stopped: { destination: string; by: 'paused' | 'breaker' | 'rate-limit' }[];
  /** Age in seconds of the oldest open delivery that is not waiting for a person; 0 when none is. */
  oldestOpenSeconds: number;
  /** Rings that have not reached their lane yet. */
  outbox: number;
}

/** What the metrics tell about the whole ledger. Reads only indexes of open and failed deliveries. */
export async function measure(db: Database): Promise<Measures> {
  const { rows } = await db.query<Measures>(
    `select coalesce((select jsonb_agg(c) from (
              select destination, state, count(*)::int as n from deliveries
               where state in ('pending', 'sending', 'verifying', 'retrying', 'held', 'dead', 'unknown', 'expired')
               group by destination, state) c), '[]') as deliveries,
            coalesce((select jsonb_agg(s) from (
              select name as destination, 'paused' as by from destinations where paused_at is not null
              union all
              select name, 'breaker' from destinations where breaker_until is not null
              union all
              select name, 'rate-limit' from destinations t
               where exists (select from budgets g where g.budget = ${budgetOf} and g.blocked_until > now())) s), '[]') as stopped,
            coalesce((select extract(epoch from now() - min(created_at))::float8 from deliveries
               where state in ('pending', 'sending', 'verifying', 'retrying')
                  or (state = 'held' and hold <> 'paused')), 0) as "oldestOpenSeconds",
            (select count(*)::int from outbox where not again) as outbox`,
  );
  return rows[0] as Measures;
}
