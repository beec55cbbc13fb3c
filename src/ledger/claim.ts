import type { Action, Receipt } from '../delivery/outcome.ts';
import type { DeliveryState } from '../delivery/state.ts';
import type { Message } from '../message.ts';
import type { Policy } from '../policy.ts';
import { looksOf, ownBudget } from './budget.ts';
import { type Database, isLockTimeout, transaction } from './database.ts';
import type { StoredEvent } from './rows.ts';

/** A lease outlasts its attempt's deadline by so many milliseconds, so that only a dead process, or one that slept, loses it. */
export const leaseMarginMs = 8_000;
/** What another session keeps locked is looked at again after so many milliseconds. */
const lockedMs = 5_000;
/** A look that found nothing vouches for this long that nothing is there; then it has to be repeated before a send. */
const absenceHoldsMs = 10_000;

/** A delivery that is ours to attempt, with everything the attempt needs. Secrets are still sealed. */
export interface Claimed {
  is: 'claimed';
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
  /** Null when the destination was removed, and for callbacks. */
  settings: unknown;
  secrets: Buffer | null;
  policy: Policy | null;
  crossLinks: { text: string; url: string }[];
}

/** Not ours to attempt now. `waitMs` says when to look again; null when the ledger will ring, or nothing is left to do. */
export interface Refused {
  is: 'refused';
  id: string;
  state: DeliveryState | null;
  waitMs: number | null;
  /** Set while a stated rate limit stands before everything of this destination: how long still, in milliseconds. */
  blocked: { ms: number; destination: string } | null;
}

/**
 * Takes open, due deliveries for one attempt each, and writes the attempts down before they are made, in one statement.
 * What a pause, an open breaker or an earlier broadcast of the topic stands before becomes `held`, and is rung when that is over.
 * Rings are only hints: a repeated, early or late one is refused here.
 *
 * @param asking called right before the statement that takes the leases: no lease began earlier
 */
export async function claim(
  db: Database,
  ids: readonly string[],
  asking: () => void = () => {},
): Promise<(Claimed | Refused)[]> {
  try {
    return await claimLocked(db, ids, false, asking);
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    // Another process may stand still with one of the rows locked: the others must not wait for it a second time.
    return claimLocked(db, ids, true, asking);
  }
}

async function claimLocked(
  db: Database,
  ids: readonly string[],
  skipping: boolean,
  asking: () => void,
): Promise<(Claimed | Refused)[]> {
  const { rows, locked } = await transaction(db, async (client) => {
    // Locked by a statement of its own: one that waits for a lock goes on with the row's newest version, but with everything else,
    // the new text above all, as it was before it waited.
    const had = await client.query<{ id: string }>(
      skipping
        ? { name: 'claim-lock-free', text: `${lock} skip locked`, values: [ids] }
        : { name: 'claim-lock', text: lock, values: [ids] },
    );
    const locked = had.rows.map(({ id }) => id);
    asking();
    const values = [locked, leaseMarginMs, absenceHoldsMs];
    return { ...(await client.query({ name: 'claim', text: statement, values })), locked: new Set(locked) };
  });
  const answers = new Map(rows.map((row) => [row.id as string, row]));
  const taken = new Set<string>();
  return ids.map((id) => {
    const row = answers.get(id);
    if (!row) {
      const waitMs = skipping && !locked.has(id) ? lockedMs : null;
      return { is: 'refused', id, state: null, waitMs, blocked: null };
    }
    if (!row.claimed) {
      const blocked = row.blocked_ms > 0 ? { ms: row.blocked_ms, destination: row.destination } : null;
      return { is: 'refused', id, state: row.state, waitMs: row.wait_ms, blocked };
    }
    // Two rings for one delivery may share a batch; only the first of them may send it.
    if (taken.has(id)) return { is: 'refused', id, state: 'sending', waitMs: leaseMarginMs, blocked: null };
    taken.add(id);
    return claimedFrom(row);
  });
}

const lock = 'select id from deliveries where id = any($1) order by id for no key update';

// By keys, not by joins (database.ts): `any($1)` beside each join of what is written, `offset 0` around each row that is looked up.
const statement = `
with standing as materialized (
  select d.id, d.state, d.due_at, d.lease_until, d.suspect, d.confirmed, d.desired, root.receipt as root,
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
         greatest(d.due_at, g.blocked_until, l.blocked_until) as ready_at, g.blocked_until, d.destination, t.place,
         t.kind, t.breaker_until, looks.first as looks_first,
         coalesce((t.policy ->> 'timeoutMs')::int, 15000) as timeout_ms
    from deliveries d
    cross join lateral (select retracted from broadcasts where id = d.broadcast_id offset 0) b
    left join destinations t on t.name = d.destination and d.role = 'message'
    left join budgets g on g.budget = coalesce(t.budget, ${ownBudget('d.destination')})
    cross join lateral (select d.suspect is not null and coalesce(
      (d.suspect ->> 'absentAt')::timestamptz < now() - $3 * interval '1 ms', true) as first) looks
    left join budgets l on looks.first and l.budget = coalesce(t.budget, ${ownBudget('d.destination')}) || '${looksOf}'
    left join lateral (
      -- The topic's first message that still stands there; where a thread was lost, the first one since.
      select e.receipt from deliveries e join broadcasts o on o.id = e.broadcast_id
       where d.topic is not null and not d.unthreaded
         and e.destination = d.destination and e.topic = d.topic and e.seq < d.seq and e.confirmed > 0 and not o.retracted
         and e.seq >= coalesce((select max(u.seq) from deliveries u
                                 where u.destination = d.destination and u.topic = d.topic and u.seq < d.seq and u.unthreaded), 0)
       order by e.seq limit 1) root on true
   where d.id = any($1)
), held as (
  update deliveries d set state = 'held', hold = s.obstacle, due_at = null, updated_at = now()
    from standing s
   where d.id = any($1) and d.id = s.id and s.obstacle is not null and not s.looks_first
     and s.state in ('pending', 'retrying', 'verifying') and s.ready_at <= now()
  returning d.id
), put_off as (
  -- A look at a destination whose breaker is open would tell nothing; it keeps its state and waits with the others.
  update deliveries d set due_at = s.breaker_until
    from standing s
   where d.id = any($1) and d.id = s.id and s.obstacle is not null and s.looks_first
     and s.state in ('pending', 'retrying', 'verifying') and s.ready_at <= now() and s.breaker_until > now()
  returning d.id
), taken as (
  update deliveries d
     set state = 'sending',
         action = case when s.looks_first then 'verify'
                       when d.confirmed = 0 and not s.retracted then 'deliver'
                       when s.retracted then 'retract'
                       else 'revise' end,
         sending_revision = d.desired,
         -- Its topic's first message may be retracted, or go, before a lost reply is looked for.
         root = case when d.confirmed = 0 and not s.looks_first then s.root else d.root end,
         -- The destination may be replaced before a lost reply is looked for.
         place = case when d.confirmed = 0 and not s.looks_first then s.place else d.place end,
         -- Recorded in the moment in which its destination became one of another kind: nothing of it was ever sent as the old one.
         kind = case when d.claims = 0 then coalesce(s.kind, d.kind) else d.kind end,
         claims = d.claims + 1,
         attempt = d.attempt + case when s.looks_first then 0 else 1 end,
         -- By the clock: the locks may have been waited for since the transaction began.
         lease_until = clock_timestamp() + (s.timeout_ms + $2) * interval '1 ms',
         due_at = null, updated_at = now()
    from standing s
   where d.id = any($1) and d.id = s.id and s.obstacle is null
     and s.state in ('pending', 'retrying', 'verifying') and s.ready_at <= now()
     and (d.confirmed > 0 or s.looks_first or s.retracted and d.doubtful
          or not s.retracted and not d.cancel_requested and (d.expires_at is null or d.expires_at > now()))
  returning d.*
), written as (
  insert into attempts (delivery_id, n, action, revision, started_at)
  select id, claims, action, sending_revision, now() from taken
)
select s.id, true as claimed, null::text as state, null::float8 as wait_ms, null::float8 as blocked_ms,
       t.claims, t.action, t.sending_revision, t.kind, t.destination, t.broadcast_id, t.receipt, t.suspect, t.topic, t.event,
       now() as started_at, b.correlation_id, b.traceparent, b.metadata, b.created_at, b.callback, b.callback_secret,
       b.retracted, r.message, x.settings, x.secrets, x.policy,
       case when s.looks_first then t.root else s.root end as root, t.place, links.found as cross_links
  from taken t
  join standing s on s.id = t.id
  cross join lateral (select * from broadcasts where id = t.broadcast_id offset 0) b
  cross join lateral (
    select message from revisions where broadcast_id = t.broadcast_id and revision = t.sending_revision offset 0) r
  left join destinations x on x.name = t.destination and t.event is null
  left join lateral (
    select jsonb_agg(jsonb_build_object('text', coalesce(e.receipt ->> 'issueKey', e.destination), 'url', e.receipt ->> 'url')
                     order by e.receipt ? 'issueKey' desc, e.seq) as found
      from deliveries e
     where b.cross_link and e.broadcast_id = t.broadcast_id and e.id <> t.id and e.role = 'message'
       and e.confirmed > 0 and e.receipt ->> 'url' is not null) links on true
union all
select s.id, false,
       case when h.id is not null then 'held' else s.state end,
       extract(epoch from case when h.id is not null then null
                               when p.id is not null then s.breaker_until
                               when s.state = 'sending' then s.lease_until
                               -- What is held or over has no time of its own, whatever its budget's limit says.
                               when s.due_at is not null then s.ready_at end - now()) * 1000,
       case when s.due_at <= now() and h.id is null then extract(epoch from s.blocked_until - now()) * 1000 end,
       null, null, null, null, s.destination, null, null, null, null, null, null, null, null, null, null, null, null,
       null, null, null, null, null, null, null, null
  from standing s
  left join held h on h.id = s.id
  left join put_off p on p.id = s.id
 where s.id not in (select id from taken)`;

// biome-ignore lint/suspicious/noExplicitAny: one row of the statement above
function claimedFrom(row: any): Claimed {
  return {
    is: 'claimed',
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
    message: row.message,
    retracted: row.retracted,
    topic: row.topic,
    correlationId: row.correlation_id,
    traceparent: row.traceparent,
    metadata: row.metadata,
    createdAt: row.created_at,
    event: row.event,
    callback: row.callback,
    callbackSecret: row.callback_secret,
    settings: row.settings,
    secrets: row.secrets,
    policy: row.policy,
    crossLinks: row.cross_links ?? [],
  };
}
