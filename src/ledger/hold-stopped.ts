import type { Database } from './database.ts';
import { stamp } from './rows.ts';

/**
 * Holds what is due at a destination that is paused or whose breaker is open, many at a time: drainers would otherwise pick it up and
 * hold it a few at a time. Verifications and the probe still go. Answers how many.
 */
export async function holdStopped(db: Database, limit: number): Promise<number> {
  const { rowCount } = await db.query({
    name: 'hold-stopped',
    text: `
with stopped as materialized (
  select name, probe, case when paused_at is not null then 'paused' else 'breaker' end as hold
    from destinations where paused_at is not null or breaker_until is not null
), chosen as materialized (
  select d.id, s.hold
    from stopped s
    cross join generate_series(1, 4) as g (priority)
    cross join lateral (
      select id from deliveries
       where destination = s.name and priority = g.priority and due_at <= now()
         and state <> 'verifying' and suspect is null and role = 'message' and id is distinct from s.probe
       order by due_at limit $1 for no key update skip locked) d
   limit $1
)
update deliveries d set state = 'held', hold = c.hold, due_at = null, updated_at = now(), ${stamp}
  from chosen c where d.id = any(array(select id from chosen)) and d.id = c.id`,
    values: [limit],
  });
  return rowCount ?? 0;
}
