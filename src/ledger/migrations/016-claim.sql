-- A claim is a function, so that its rare parts run only when they are needed: PostgreSQL initialises every part of a statement each time
-- it runs, and this took twice as long as the claim itself. Rows are locked before they are read, so that they cannot change meanwhile.

-- One row of the result: an attempt to make; or, without an id, a delivery that was held or put off instead, or a destination where other
-- processes have taken places. A process that got fewer deliveries than it asked for would otherwise believe that no more are due there.
create type claimed as (
  id text, destination text, claims integer, action text, sending_revision integer, kind text, broadcast_id text, receipt jsonb,
  root jsonb, place jsonb, suspect jsonb, topic text, event jsonb, started_at timestamptz, attempt integer, uncounted integer,
  max_attempts integer, version text, plain boolean, correlation_id text, traceparent text, metadata jsonb, created_at timestamptz,
  retracted boolean, callback jsonb, callback_secret bytea, cross_links jsonb, destination_version text, settings jsonb, secrets bytea,
  policy jsonb, message jsonb
);

-- Claims what is due in these lanes, the most urgent first. `most` is what a lane has free here, `concurrencies` what may be in flight
-- there over all processes, `steps` the milliseconds between two claims, null without a rate limit. A row without an id, whose `claims`
-- are 0, tells that other processes left fewer places there than `most`, and that all of them are taken now.
create function claim_due(
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

  -- The plain case: nothing holds the delivery back, and it needs no other rows.
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

-- Claims these deliveries, which are locked. A delivery becomes `held` when its destination is paused, its breaker is open, or an earlier
-- broadcast of its topic is open there. A delivery that may not go yet gets a later due time.
create function claim_carefully(ids text[], lanes text[], steps integer[], margin_ms integer, absence_ms integer)
returns setof claimed language plpgsql set plan_cache_mode = force_generic_plan as $$
begin
return query
with standing as materialized (
  select d.id, d.destination, steps[array_position(lanes, d.destination)] as step_ms, d.confirmed, d.doubtful, d.cancel_requested,
         d.expires_at, root.receipt as root,
         -- The event of a callback stays true when its broadcast is retracted.
         b.retracted and d.role = 'message' as retracted,
         case
           -- Looking is harmless while paused; sending is not.
           when t.paused_at is not null and not looks.first then 'paused'
           -- While paused nothing probes, so that a look need not wait for the breaker to close.
           when t.breaker_until is not null and t.probe is distinct from d.id
            and not (looks.first and t.paused_at is not null and t.breaker_until <= now()) then 'breaker'
           when d.topic is not null and d.confirmed = 0 and not looks.first and exists (
             select from deliveries e
              where e.destination = d.destination and e.topic = d.topic and e.seq < d.seq
                and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held')) then 'topic'
         end as obstacle,
         greatest(d.due_at, g.blocked_until, l.blocked_until) as ready_at, t.place, t.kind, t.breaker_until,
         looks.first as looks_first, coalesce((t.policy ->> 'timeoutMs')::int, 15000) as timeout_ms
    from deliveries d
    cross join lateral (select retracted from broadcasts where id = d.broadcast_id offset 0) b
    left join destinations t on t.name = d.destination and d.role = 'message'
    left join budgets g on g.budget = coalesce(t.budget, 'to ' || d.destination)
    cross join lateral (select d.suspect is not null and coalesce(
      (d.suspect ->> 'absentAt')::timestamptz < now() - absence_ms * interval '1 ms', true) as first) looks
    left join budgets l on looks.first and l.budget = coalesce(t.budget, 'to ' || d.destination) || ' looks'
    left join lateral (
      -- The topic's first message that still stands there; where a thread was lost, the first one since.
      select e.receipt from deliveries e join broadcasts o on o.id = e.broadcast_id
       where d.topic is not null and not d.unthreaded
         and e.destination = d.destination and e.topic = d.topic and e.seq < d.seq and e.confirmed > 0 and not o.retracted
         and e.seq >= coalesce((select max(u.seq) from deliveries u
                                 where u.destination = d.destination and u.topic = d.topic and u.seq < d.seq and u.unthreaded), 0)
       order by e.seq limit 1) root on true
   where d.id = any(ids)
), judged as materialized (
  select s.*,
         case when s.ready_at > now() then 'wait'
              when s.obstacle is not null and not s.looks_first then 'hold'
              when s.obstacle is not null then 'wait'
              when s.confirmed > 0 or s.looks_first or s.retracted and s.doubtful
                or not s.retracted and not s.cancel_requested and (s.expires_at is null or s.expires_at > now()) then 'take'
              -- The sweep ends it.
              else 'wait' end as fate
    from standing s
), paced as materialized (
  -- A delivery that is held or put off spends no step.
  select destination, take_step(destination, max(step_ms)) as had
    from judged where fate = 'take' and step_ms is not null group by destination
), held as (
  update deliveries d
     set state = 'held', hold = j.obstacle, due_at = null, updated_at = now(), changed_in = pg_current_xact_id()
    from judged j
   where d.id = any(array(select id from judged where fate = 'hold')) and d.id = j.id
), put_off as (
  -- A look at a destination whose breaker is open would tell nothing; it keeps its state and waits with the others.
  update deliveries d
     set due_at = greatest(j.ready_at, case when j.obstacle = 'breaker' then j.breaker_until end, now() + interval '1 second'),
         changed_in = pg_current_xact_id()
    from judged j
   where d.id = any(array(select id from judged where fate = 'wait')) and d.id = j.id
), taken as (
  update deliveries d
     set state = 'sending',
         action = case when j.looks_first then 'verify'
                       when d.confirmed = 0 and not j.retracted then 'deliver'
                       when j.retracted then 'retract'
                       else 'revise' end,
         sending_revision = d.desired,
         -- Its topic's first message may be retracted, or go, before a lost reply is looked for.
         root = case when d.confirmed = 0 and not j.looks_first then j.root else d.root end,
         -- The destination may be replaced before a lost reply is looked for.
         place = case when d.confirmed = 0 and not j.looks_first then j.place else d.place end,
         -- Recorded in the moment in which its destination became one of another kind: nothing of it was ever sent as the old one.
         kind = case when d.claims = 0 then coalesce(j.kind, d.kind) else d.kind end,
         claims = d.claims + 1,
         attempt = d.attempt + case when j.looks_first then 0 else 1 end,
         started_at = now(),
         lease_until = now() + (j.timeout_ms + margin_ms) * interval '1 ms',
         due_at = null, updated_at = now(), changed_in = pg_current_xact_id()
    from judged j
   where d.id = any(array(select id from judged where fate = 'take')) and d.id = j.id
     and (j.step_ms is null or exists (select from paced s where s.destination = j.destination and s.had))
  returning d.*, d.xmin as version
)
select t.id, j.destination, t.claims, t.action, t.sending_revision, t.kind, t.broadcast_id, t.receipt,
       case when j.looks_first then t.root else j.root end, t.place, t.suspect, t.topic, t.event, t.started_at,
       t.attempt, t.uncounted, t.max_attempts, t.version::text,
       t.action = 'deliver' and t.role = 'message' and t.topic is null and t.suspect is null and not t.linking and not t.doubtful
         and b.callback is null and not b.cross_link,
       b.correlation_id, b.traceparent, b.metadata, b.created_at, b.retracted, b.callback, b.callback_secret,
       links.found, x.updated_at::text, x.settings, x.secrets, x.policy,
       case when row_number() over (partition by t.broadcast_id, t.sending_revision order by t.id) = 1 then r.message end
  from judged j
  left join taken t on t.id = j.id
  left join lateral (select * from broadcasts where id = t.broadcast_id offset 0) b on true
  left join lateral (
    select message from revisions where broadcast_id = t.broadcast_id and revision = t.sending_revision offset 0) r on true
  left join destinations x on x.name = t.destination and t.event is null
  left join lateral (
    select jsonb_agg(jsonb_build_object('text', coalesce(e.receipt ->> 'issueKey', e.destination), 'url', e.receipt ->> 'url')
                     order by e.receipt ? 'issueKey' desc, e.seq) as found
      from deliveries e
     where b.cross_link and e.broadcast_id = t.broadcast_id and e.id <> t.id and e.role = 'message'
       and e.confirmed > 0 and e.receipt ->> 'url' is not null) links on true
 where t.id is not null or j.fate <> 'take';
end
$$;
