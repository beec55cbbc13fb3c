-- As in 009-due.sql, but what became of a broadcast's other deliveries is read once for each broadcast, not once for each delivery.
create or replace function settle_plain(
  ids text[], numbers integer[], versions xid[], states text[], attempt_counts integer[], uncounted_counts integer[],
  confirmed_revisions integer[], receipts jsonb, outcomes text[]
) returns setof text language plpgsql as $$
declare
  broadcast_ids text[];
  at timestamptz;
begin
  broadcast_ids := array(
    select b.id from broadcasts b
     where b.id = any(array(select d.broadcast_id from deliveries d where d.id = any(ids)))
       and b.callback is null and not b.cross_link and b.topic is null and b.state = 'converging'
     order by b.id for no key update);
  broadcast_ids := array(
    select g.id from unnest(broadcast_ids) as g (id)
     where not exists (
       select from deliveries s where s.broadcast_id = g.id and s.ended_at is not null and s.state <> 'confirmed' offset 0));
  at := date_trunc('milliseconds', clock_timestamp());
  return query
  with before as materialized (
    select d.id, d.claims, d.action, d.sending_revision, d.started_at, array_position(ids, d.id) as i
      from deliveries d
     where d.id = any(ids) and d.broadcast_id = any(broadcast_ids)
       and not exists (
         select from destinations t
          where t.name = d.destination and (t.faults > 0 or t.breaker_until is not null) offset 0)
  ), done as (
    update deliveries d
       set state = states[b.i], attempt = attempt_counts[b.i], uncounted = uncounted_counts[b.i], confirmed = confirmed_revisions[b.i],
           receipt = receipts -> (b.i - 1), last_error = null, hold = null, doubtful = false,
           action = null, sending_revision = null, started_at = null, lease_until = null, updated_at = at, ended_at = at
      from before b
     -- Not by its state: that names an index of all that are in flight.
     where d.id = any(array(select id from before)) and d.id = b.id
       and d.lease_until is not null and d.claims = numbers[b.i] and d.xmin = versions[b.i]
    returning d.id, b.claims, b.action, b.sending_revision, b.started_at, b.i
  ), written as (
    insert into attempts (delivery_id, n, action, revision, started_at, finished_at, outcome)
    select id, claims, action, sending_revision, started_at, at, outcomes[i] from done
  )
  select id from done;
  update broadcasts b set state = 'delivered', converged_at = at
   where b.id = any(broadcast_ids)
     and not exists (
       select from deliveries s where s.broadcast_id = b.id and s.role = 'message' and s.state <> 'confirmed' offset 0);
  perform pg_notify('tocsin_broadcast', id) from unnest(broadcast_ids) as g (id);
end
$$;
