import type { Database } from './database.ts';

/**
 * Holds what is on its way to a destination that is paused or whose breaker is open, straight from the outbox: a backlog then never
 * passes through the queue only to be refused by claim, one by one. A look and the probe still go. Answers how many.
 */
export async function holdStopped(db: Database, limit: number): Promise<number> {
  const { rows } = await db.query<{ n: number }>({
    name: 'hold-stopped',
    text: `
with stopped as materialized (
  select name, probe, case when paused_at is not null then 'paused' else 'breaker' end as hold
    from destinations where paused_at is not null or breaker_until is not null
), chosen as materialized (
  select o.delivery_id, s.hold
    from stopped s
    cross join lateral (
      select i.delivery_id from outbox i
       where i.destination = s.name and (i.taken_until is null or i.taken_until <= now())
         and i.delivery_id is distinct from s.probe
       order by i.priority, i.created_at
       limit $1) o
   limit $1
), still as (
  -- Who is at work on one just now knows better.
  select d.id, c.hold
    from deliveries d join chosen c on c.delivery_id = d.id
   where d.id = any(array(select delivery_id from chosen)) and d.state in ('pending', 'retrying') and d.suspect is null and d.due_at <= now()
     for no key update of d skip locked
), held as (
  update deliveries d set state = 'held', hold = s.hold, due_at = null, updated_at = now()
    from still s where d.id = any(array(select id from still)) and d.id = s.id
  returning d.id
), dropped as (
  delete from outbox o
   where o.delivery_id = any(array(select id from held)) and (o.taken_until is null or o.taken_until <= now()))
select count(*)::int as n from held`,
    values: [limit],
  });
  return rows[0]?.n ?? 0;
}
