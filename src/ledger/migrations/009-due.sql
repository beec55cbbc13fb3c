-- What is due is read from the deliveries themselves, destination by destination. No copy of it has to be written, carried or deleted.
drop table outbox;
alter table deliveries drop column rung_at;

-- The drainers' index. One probe per destination and priority finds what is due there, however much waits or is retried later.
create index deliveries_ready on deliveries (destination, priority, due_at) where state in ('pending', 'verifying', 'retrying');
drop index deliveries_due;
-- How many attempts a destination has in flight, over all processes.
create index deliveries_in_flight on deliveries (destination) where state = 'sending';

-- When the next step of a destination's rate limit begins. Kept here, so that the limit holds over all processes.
create table paces (
  destination      text        primary key,
  next_at          timestamptz not null
);

-- The attempt in flight is recorded in its delivery; its row in attempts is written once, when it is settled.
alter table deliveries add column started_at timestamptz;

-- Settles deliveries that nothing unusual concerns: sent as claimed, in broadcasts without callback, cross-links or topic, whose other
-- deliveries have ended well or are open, at destinations without faults. Everything else is left to the careful way (settle.ts).
-- A function, because each of its statements sees what the one before it waited for: two last deliveries of a broadcast that end
-- together must not each see the other one open. Returns the ids that it settled.
create function settle_plain(
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
  at := date_trunc('milliseconds', clock_timestamp());
  return query
  with before as materialized (
    select d.id, d.claims, d.action, d.sending_revision, d.started_at, array_position(ids, d.id) as i
      from deliveries d
     where d.id = any(ids) and d.broadcast_id = any(broadcast_ids)
       and not exists (
         select from deliveries s where s.broadcast_id = d.broadcast_id and s.ended_at is not null and s.state <> 'confirmed' offset 0)
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
