import type { Action, Receipt } from '../delivery/outcome.ts';
import type { Message } from '../message.ts';
import type { Policy } from '../policy.ts';
import { looksOf, ownBudget } from './budget.ts';
import type { Database } from './database.ts';
import type { StoredEvent } from './rows.ts';

/** A lease outlasts its attempt's deadline by so many milliseconds, so that only a dead process, or one that slept, loses it. */
export const leaseMarginMs = 8_000;
/** A look that found nothing vouches for this long that nothing is there; then it has to be repeated before a send. */
const absenceHoldsMs = 10_000;

/** A delivery that is ours to attempt, with everything the attempt needs. Secrets are still sealed. */
export interface Claimed {
  id: string;
  /** Names this claim: only an outcome that carries it is accepted. */
  claim: number;
  action: Action;
  revision: number;
  kind: string;
  destination: string;
  broadcastId: string;
  startedAt: Date;
  /** When an earlier send that may have landed began, else `startedAt`. */
  since: Date;
  receipt: Receipt | null;
  root: Receipt | null;
  /** Where the newest send went, as its kind describes it; null where the kind does not. */
  place: Record<string, string> | null;
  message: Message;
  retracted: boolean;
  topic: string | null;
  correlationId: string;
  traceparent: string | null;
  metadata: Record<string, string>;
  createdAt: Date;
  /** Set for callbacks only. */
  event: StoredEvent | null;
  callback: { url: string } | null;
  callbackSecret: Buffer | null;
  /** Changes with the destination. Null when it was removed, and for callbacks; the next three too. */
  destinationVersion: string | null;
  settings: unknown;
  secrets: Buffer | null;
  policy: Policy | null;
  crossLinks: { text: string; url: string }[];
  /** Tries made for this revision, this one included, and those of them that were free. */
  attempt: number;
  uncounted: number;
  maxAttempts: number;
  /** The row's version as it was claimed. */
  version: string;
  /** A first send with nothing beside it: no callback, cross-links, topic or doubt. */
  plain: boolean;
}

/** What a claim found at its lanes. */
export interface Found {
  claimed: Claimed[];
  /** How many it held or put off instead, for each destination where there were any: what is behind them comes next. */
  passed: ReadonlyMap<string, number>;
}

/** What one drainer asks for: the places it has free at a destination. */
export interface Lane {
  destination: string;
  /** The most to claim now. */
  places: number;
  /** The most attempts in flight at the destination, over all processes. */
  concurrency: number;
  /** Milliseconds between two claims, over all processes; null without a rate limit. */
  stepMs: number | null;
}

/**
 * Claims what is due in these lanes for one attempt each, the most urgent first. One statement: the rows in state `sending`, with
 * their leases, are durable before anything is sent. What a pause, an open breaker or an earlier broadcast of the topic stands before
 * becomes `held`; what may not go yet gets a later due time. A row that another process works on is passed over, and so is a
 * destination at which another process claims in the same moment.
 */
export async function claimDue(db: Database, lanes: readonly Lane[]): Promise<Found> {
  const column = <Name extends keyof Lane>(name: Name) => lanes.map((lane) => lane[name]);
  const { rows } = await db.query({
    name: 'claim-due',
    text: dueStatement,
    values: [
      column('destination'),
      column('places'),
      column('concurrency'),
      column('stepMs'),
      leaseMarginMs,
      absenceHoldsMs,
    ],
  });
  return { claimed: taken(rows), passed: new Map(Object.entries(rows[0]?.passed ?? {})) };
}

/** Claims these deliveries, as far as they are due and nothing stands in their way: `claimDue` for those who know what they want. */
export async function claim(db: Database, ids: readonly string[]): Promise<Claimed[]> {
  const { rows } = await db.query({ name: 'claim', text: idStatement, values: [ids, leaseMarginMs, absenceHoldsMs] });
  return taken(rows);
}

const isOpen = `state in ('pending', 'verifying', 'retrying')`;

// One probe per priority finds what is due, however much waits. The loops run in this order, so nothing is locked that is not taken.
const dueStatement = statement(
  `lanes as materialized (
  select l.destination, l.step_ms, least(l.places, free_places(l.destination, l.concurrency)) as places
    from unnest($1::text[], $2::int[], $3::int[], $4::int[]) as l (destination, places, concurrency, step_ms)
    left join destinations t on t.name = l.destination
   where not exists (
     select from budgets g where g.budget = coalesce(t.budget, ${ownBudget('l.destination')}) and g.blocked_until > now() offset 0)
     -- Nothing is locked and read for a step that has not come. It is taken below.
     and not exists (
     select from paces p
      where p.destination = l.destination and p.next_at > now() and p.next_at <= now() + l.step_ms * interval '1 ms' offset 0)
), picked as materialized (
  select i.id
    from lanes l
    cross join lateral (
      select d.id
        from generate_series(1, 4) as p (priority)
        cross join lateral (
          select id from deliveries
           where destination = l.destination and priority = p.priority and ${isOpen} and due_at <= now()
           order by due_at limit l.places for no key update skip locked) d
       limit l.places) i
   where l.places > 0
)`,
  { margin: '$5', absence: '$6', step: '(select l.step_ms from lanes l where l.destination = d.destination)' },
);

const idStatement = statement(
  `picked as materialized (
  select id from deliveries where id = any($1) and ${isOpen} and due_at <= now() order by id for no key update skip locked
)`,
  { margin: '$2', absence: '$3', step: 'null::int' },
);

/**
 * `picked` says which rows are locked and wanted. All else is read as it was when the statement began: a row that changed since has
 * another `xmin`, is left alone, and is found again with its new text. By keys, not by joins (database.ts).
 */
function statement(
  picked: string,
  { margin, absence, step }: { margin: string; absence: string; step: string },
): string {
  return `
with ${picked}, standing as materialized (
  select d.id, d.xmin as version, d.destination, ${step} as step_ms, d.confirmed, d.doubtful, d.cancel_requested, d.expires_at, root.receipt as root,
         -- What a callback tells stays true when its broadcast is taken back.
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
         greatest(d.due_at, g.blocked_until, l.blocked_until) as ready_at, t.place, t.kind, t.breaker_until, looks.first as looks_first,
         coalesce((t.policy ->> 'timeoutMs')::int, 15000) as timeout_ms
    from deliveries d
    cross join lateral (select retracted from broadcasts where id = d.broadcast_id offset 0) b
    left join destinations t on t.name = d.destination and d.role = 'message'
    left join budgets g on g.budget = coalesce(t.budget, ${ownBudget('d.destination')})
    cross join lateral (select d.suspect is not null and coalesce(
      (d.suspect ->> 'absentAt')::timestamptz < now() - ${absence} * interval '1 ms', true) as first) looks
    left join budgets l on looks.first and l.budget = coalesce(t.budget, ${ownBudget('d.destination')}) || '${looksOf}'
    left join lateral (
      -- The topic's first message that still stands there; where a thread was lost, the first one since.
      select e.receipt from deliveries e join broadcasts o on o.id = e.broadcast_id
       where d.topic is not null and not d.unthreaded
         and e.destination = d.destination and e.topic = d.topic and e.seq < d.seq and e.confirmed > 0 and not o.retracted
         and e.seq >= coalesce((select max(u.seq) from deliveries u
                                 where u.destination = d.destination and u.topic = d.topic and u.seq < d.seq and u.unthreaded), 0)
       order by e.seq limit 1) root on true
   where d.id = any(array(select id from picked))
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
), steps as materialized (
  -- What is held or put off spends none.
  select destination, take_step(destination, max(step_ms)) as had
    from judged where fate = 'take' and step_ms is not null group by destination
), held as (
  update deliveries d set state = 'held', hold = j.obstacle, due_at = null, updated_at = now()
    from judged j
   where d.id = any(array(select id from judged where fate = 'hold')) and d.id = j.id and d.xmin = j.version
), put_off as (
  -- A look at a destination whose breaker is open would tell nothing; it keeps its state and waits with the others.
  update deliveries d
     set due_at = greatest(j.ready_at, case when j.obstacle = 'breaker' then j.breaker_until end, now() + interval '1 second')
    from judged j
   where d.id = any(array(select id from judged where fate = 'wait')) and d.id = j.id and d.xmin = j.version
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
         lease_until = now() + (j.timeout_ms + ${margin}) * interval '1 ms',
         due_at = null, updated_at = now()
    from judged j
   where d.id = any(array(select id from judged where fate = 'take')) and d.id = j.id and d.xmin = j.version
     and (j.step_ms is null or exists (select from steps s where s.destination = j.destination and s.had))
  returning d.*, d.xmin as version
)
select t.id, t.claims, t.action, t.sending_revision, t.kind, t.destination, t.broadcast_id, t.receipt, t.suspect, t.topic, t.event,
       t.started_at, b.correlation_id, b.traceparent, b.metadata, b.created_at, b.callback, b.callback_secret,
       b.retracted, x.settings, x.secrets, x.policy, x.updated_at::text as destination_version,
       case when j.looks_first then t.root else j.root end as root, t.place, links.found as cross_links,
       t.attempt, t.uncounted, t.max_attempts, t.version::text as version,
       t.action = 'deliver' and t.role = 'message' and t.topic is null and t.suspect is null and not t.linking and not t.doubtful
         and b.callback is null and not b.cross_link as plain,
       -- Once for each text: a long one to many destinations would be read as often as it is sent.
       case when row_number() over (partition by t.broadcast_id, t.sending_revision order by t.id) = 1 then r.message end as message,
       l.passed
  from (select jsonb_object_agg(destination, n) as passed
          from (select destination, count(*) as n from judged where fate <> 'take' group by destination) g) l
  left join taken t on true
  left join judged j on j.id = t.id
  left join lateral (select * from broadcasts where id = t.broadcast_id offset 0) b on true
  left join lateral (
    select message from revisions where broadcast_id = t.broadcast_id and revision = t.sending_revision offset 0) r on true
  left join destinations x on x.name = t.destination and t.event is null
  left join lateral (
    select jsonb_agg(jsonb_build_object('text', coalesce(e.receipt ->> 'issueKey', e.destination), 'url', e.receipt ->> 'url')
                     order by e.receipt ? 'issueKey' desc, e.seq) as found
      from deliveries e
     where b.cross_link and e.broadcast_id = t.broadcast_id and e.id <> t.id and e.role = 'message'
       and e.confirmed > 0 and e.receipt ->> 'url' is not null) links on true`;
}

/** Where nothing was taken, there is one row without an id. */
// biome-ignore lint/suspicious/noExplicitAny: rows of the statements above
function taken(rows: any[]): Claimed[] {
  const texts = new Map<string, Message>();
  const textOf = (row: { broadcast_id: string; sending_revision: number }) =>
    `${row.broadcast_id} ${row.sending_revision}`;
  for (const row of rows) if (row.message) texts.set(textOf(row), row.message);
  return rows.filter(({ id }) => id !== null).map((row) => claimedFrom(row, texts.get(textOf(row)) as Message));
}

// biome-ignore lint/suspicious/noExplicitAny: one row of the statements above
function claimedFrom(row: any, message: Message): Claimed {
  return {
    id: row.id,
    claim: row.claims,
    action: row.action,
    revision: row.sending_revision,
    kind: row.kind,
    destination: row.destination,
    broadcastId: row.broadcast_id,
    startedAt: row.started_at,
    since: row.suspect ? new Date(row.suspect.since) : row.started_at,
    receipt: row.receipt,
    root: row.root,
    place: row.place,
    message,
    retracted: row.retracted,
    topic: row.topic,
    correlationId: row.correlation_id,
    traceparent: row.traceparent,
    metadata: row.metadata,
    createdAt: row.created_at,
    event: row.event,
    callback: row.callback,
    callbackSecret: row.callback_secret,
    destinationVersion: row.destination_version,
    settings: row.settings,
    secrets: row.secrets,
    policy: row.policy,
    crossLinks: row.cross_links ?? [],
    attempt: row.attempt,
    uncounted: row.uncounted,
    maxAttempts: row.max_attempts,
    version: row.version,
    plain: row.plain,
  };
}
