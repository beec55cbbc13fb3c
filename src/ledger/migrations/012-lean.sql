-- The cost of a delivery is mostly the index entries of its three row versions: recorded, claimed, settled. Only those indexes stay
-- that the hot statements use, or that find open rows.

-- The messages of a broadcast are found by `deliveries_once_per_destination`. Its callbacks, which may be thousands, lie apart.
drop index deliveries_by_broadcast;
create index deliveries_callbacks_of on deliveries (broadcast_id, seq) where role = 'callback';

-- Their predicates name a column that is set exactly while the state is one of theirs. No hot statement has to name the state, which
-- would let the planner read a whole index of what is open instead of a few keys.
drop index deliveries_ready;
create index deliveries_due on deliveries (destination, priority, due_at) where due_at is not null;
drop index deliveries_leased;
drop index deliveries_in_flight;
create index deliveries_leased on deliveries (destination, lease_until) where lease_until is not null;

-- Each check of a reference locks a row. Only a few statements write deliveries and attempts, and together with the rows they refer to.
alter table deliveries drop constraint deliveries_broadcast_id_fkey;
alter table attempts drop constraint attempts_delivery_id_fkey;

-- Deleting a broadcast deletes its deliveries and their attempts, as the references did. A due delivery without its broadcast could be
-- neither claimed nor ended, and would block its destination. Only deletions pay for these triggers.
create function delete_deliveries() returns trigger language plpgsql as $$
begin
  delete from deliveries where broadcast_id = old.id and (role = 'message' or role = 'callback');
  return null;
end
$$;
create trigger broadcasts_deleted after delete on broadcasts for each row execute function delete_deliveries();

create function delete_attempts() returns trigger language plpgsql as $$
begin
  delete from attempts where delivery_id = old.id;
  return null;
end
$$;
create trigger deliveries_deleted after delete on deliveries for each row execute function delete_attempts();

-- A trigger locks each row once more and compares it as a whole. Statements that change deliveries set `changed_in` themselves (`stamp` in rows.ts).
drop trigger deliveries_changed on deliveries;

create or replace function free_places(lane text, concurrency integer) returns integer language plpgsql as $$
begin
  perform from paces where destination = lane for no key update skip locked;
  if not found then
    -- Two that both add the row would wait for each other.
    if not pg_try_advisory_xact_lock(hashtextextended(lane, 10)) then
      return 0;
    end if;
    insert into paces (destination, next_at) values (lane, '-infinity') on conflict do nothing;
    if not found then
      return 0;
    end if;
  end if;
  -- An attempt sends nothing after its lease.
  return concurrency - (select count(*) from deliveries where destination = lane and lease_until > clock_timestamp());
end
$$;

-- Settles deliveries that nothing unusual concerns: sent as claimed, in broadcasts without callback, cross-links or topic, whose other
-- deliveries have ended well or are open, at destinations without faults. Everything else is left to the careful path (settle.ts).
-- A function, because each of its statements sees what the one before it waited for: two last deliveries of a broadcast that end
-- together must not each see the other one open. Returns the ids that it settled.
create or replace function settle_plain(
  ids text[], numbers integer[], versions xid[], states text[], attempt_counts integer[], uncounted_counts integer[],
  confirmed_revisions integer[], receipts jsonb, outcomes text[]
) returns setof text language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
  plain text[];
  at timestamptz;
  unconfirmed integer[];
begin
  plain := array(
    select b.id from broadcasts b
     where b.id = any(array(select d.broadcast_id from deliveries d where d.id = any(ids)))
       and b.callback is null and not b.cross_link and b.topic is null and b.state = 'converging'
     order by b.id for no key update);
  -- Keep the broadcasts of which no message has ended otherwise, and count the messages that are not confirmed yet.
  select array_agg(g.broadcast_id), array_agg(g.n) into plain, unconfirmed
    from (select d.broadcast_id, count(*) filter (where d.ended_at is null) as n
            from deliveries d
           where d.broadcast_id = any(plain) and d.role = 'message' and d.state <> 'confirmed'
           group by d.broadcast_id
          having bool_and(d.ended_at is null)) g;
  at := date_trunc('milliseconds', clock_timestamp());
  return query
  with before as materialized (
    select d.ctid as place, d.id, d.broadcast_id, d.claims, d.action, d.sending_revision, d.started_at, array_position(ids, d.id) as i
      from deliveries d
     where d.id = any(ids) and d.broadcast_id = any(plain)
       and not exists (
         select from destinations t
          where t.name = d.destination and (t.faults > 0 or t.breaker_until is not null) offset 0)
  ), done as (
    update deliveries d
       set state = states[b.i], attempt = attempt_counts[b.i], uncounted = uncounted_counts[b.i], confirmed = confirmed_revisions[b.i],
           receipt = receipts -> (b.i - 1), last_error = null, hold = null, doubtful = false,
           action = null, sending_revision = null, started_at = null, lease_until = null, updated_at = at, ended_at = at,
           changed_in = pg_current_xact_id()
      from before b
     -- By its place in the table: a join by key would compare each row of the batch with all others.
     where d.ctid = b.place and d.id = b.id
       and d.lease_until is not null and d.claims = numbers[b.i] and d.xmin = versions[b.i]
    returning d.id, b.broadcast_id, b.claims, b.action, b.sending_revision, b.started_at, b.i
  ), written as (
    insert into attempts (delivery_id, n, action, revision, started_at, finished_at, outcome)
    select id, claims, action, sending_revision, started_at, at, outcomes[i] from done
  ), converged as (
    -- Its row is locked, so nobody else ends a delivery of it meanwhile.
    update broadcasts b set state = 'delivered', converged_at = at
      from (select broadcast_id, count(*) as n from done group by broadcast_id) c
     where b.id = any(array(select broadcast_id from done)) and b.id = c.broadcast_id
       and c.n = unconfirmed[array_position(plain, c.broadcast_id)]
  ), told as (
    select pg_notify('tocsin_broadcast', string_agg(g.id, e'\n'))
      from (select id, (row_number() over () - 1) / 200 as part from (select distinct broadcast_id as id from done) d) g
     group by part
  )
  select id from done where (select count(*) from told) >= 0;
end
$$;
