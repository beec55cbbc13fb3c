-- As in 016-claim.sql, and tells where other processes leave no place. Whoever got fewer than it asked for would otherwise believe that
-- nothing more is due. When two processes drain one destination, both could believe that, and what is due waited for the next search.

-- Claims what is due in these lanes, the most urgent first. `most` is what a lane has free here, `concurrencies` what may be in flight
-- there over all processes, `steps` the milliseconds between two claims, null without a rate limit. A row without an id, whose `claims`
-- are 0, tells that other processes left fewer places there than `most`, and that all of them are taken now.
create or replace function claim_due(
  lanes text[], most integer[], concurrencies integer[], steps integer[], margin_ms integer, absence_ms integer
) returns setof claimed language plpgsql set plan_cache_mode = force_generic_plan as $$
declare
  picked text[];
  crowded text[];
  n integer;
begin
  -- One probe per priority finds what is due, however much waits. The loops run in this order, so nothing is locked that is not taken.
  with wanted as materialized (
    select l.destination, l.most, free_places(l.destination, l.concurrency) as free
      from unnest(lanes, most, concurrencies, steps) as l (destination, most, concurrency, step_ms)
      left join destinations t on t.name = l.destination
     where not exists (
       select from budgets g
        where g.budget = coalesce(t.budget, 'to ' || l.destination) and g.blocked_until > now() offset 0)
       -- Nothing is locked and read for a step that has not come. It is taken below.
       and not exists (
       select from paces p
        where p.destination = l.destination and p.next_at > now() and p.next_at <= now() + l.step_ms * interval '1 ms' offset 0)
  ), chosen as materialized (
    select w.destination, i.id
      from wanted w
      cross join lateral (
        select d.id
          from generate_series(1, 4) as p (priority)
          cross join lateral (
            select id from deliveries
             where destination = w.destination and priority = p.priority and due_at <= now()
             order by due_at limit least(w.most, w.free) for no key update skip locked) d
         limit least(w.most, w.free)) i
     where w.free > 0
  )
  select array(select id from chosen),
         array(select destination from wanted w
                where free < w.most
                  and free <= (select count(*) from chosen c where c.destination = w.destination))
    into picked, crowded;
  if crowded <> '{}' then
    return query
    select r.* from unnest(crowded) as c (name)
     cross join lateral jsonb_populate_record(null::claimed, jsonb_build_object('destination', c.name, 'claims', 0)) r;
  end if;
  if picked = '{}' then
    return;
  end if;

  -- What nothing stands in the way of, and nothing has to be looked up for.
  return query
  with taken as (
    update deliveries d
       set state = 'sending', action = 'deliver', sending_revision = d.desired, root = null, place = t.place,
           kind = case when d.claims = 0 then t.kind else d.kind end, claims = d.claims + 1, attempt = d.attempt + 1,
           started_at = now(), lease_until = now() + (coalesce((t.policy ->> 'timeoutMs')::int, 15000) + margin_ms) * interval '1 ms',
           due_at = null, updated_at = now(), changed_in = pg_current_xact_id()
      from destinations t
     where d.id = any(picked) and t.name = d.destination and steps[array_position(lanes, d.destination)] is null
       and t.paused_at is null and t.breaker_until is null
       and d.role = 'message' and d.topic is null and d.suspect is null and d.confirmed = 0 and not d.cancel_requested
       and (d.expires_at is null or d.expires_at > now())
       and exists (select from broadcasts b where b.id = d.broadcast_id and not b.retracted and not b.cross_link offset 0)
    returning d.*, d.xmin as version, t.updated_at::text as destination_version, t.settings, t.secrets, t.policy
  )
  select t.id, t.destination, t.claims, t.action, t.sending_revision, t.kind, t.broadcast_id, t.receipt, t.root, t.place, t.suspect,
         t.topic, t.event, t.started_at, t.attempt, t.uncounted, t.max_attempts, t.version::text,
         b.callback is null and not t.linking and not t.doubtful, b.correlation_id, b.traceparent, b.metadata, b.created_at,
         b.retracted, b.callback, b.callback_secret, null::jsonb, t.destination_version, t.settings, t.secrets, t.policy,
         -- Once for each text: a long one to many destinations would be read as often as it is sent.
         case when row_number() over (partition by t.broadcast_id, t.sending_revision order by t.id) = 1 then r.message end
    from taken t
    cross join lateral (select * from broadcasts where id = t.broadcast_id offset 0) b
    cross join lateral (
      select message from revisions where broadcast_id = t.broadcast_id and revision = t.sending_revision offset 0) r;

  get diagnostics n = row_count;
  if n < cardinality(picked) then
    return query
    select * from claim_carefully(
      array(select d.id from deliveries d where d.id = any(picked) and d.due_at is not null), lanes, steps, margin_ms, absence_ms);
  end if;
end
$$;
