import type { Action } from '../delivery/outcome.ts';
import type { Policy } from '../policy.ts';
import { type Database, transaction } from './database.ts';
import { release } from './release.ts';

/** A delivery this late, in milliseconds, was forgotten by the queue: its job normally comes within a few of them. */
const lateMs = 5_000;
/**
 * A ring that was not followed for so long, in milliseconds, is repeated: the queue may have been emptied. Then after longer and longer,
 * up to the longest: most of what waits, waits in a lane that is merely slow.
 */
const repeatMs = 30_000;
const longestRepeatMs = 300_000;

/** How long outcomes have, in milliseconds, to be settled after the database has come back, before attempts are given up for lost. */
const headStartMs = 3_000;

/** An attempt whose lease ran out: the process that made it died, and nobody knows how far it got. */
export interface LostAttempt {
  id: string;
  claim: number;
  action: Action;
  kind: string;
  policy: Policy | null;
}

/** Attempts that nobody will settle any more, the longest lost first; none until the database has been up for `headStart` milliseconds. */
export async function findLostAttempts(db: Database, limit: number, headStart = headStartMs): Promise<LostAttempt[]> {
  const { rows } = await db.query<LostAttempt>(
    `select d.id, d.claims as claim, d.action, d.kind, t.policy
       from deliveries d left join destinations t on t.name = d.destination and d.role = 'message'
      where d.state = 'sending' and d.lease_until <= now()
        -- Leases ran on while the server was away, and those who hold outcomes have to reach it first.
        and pg_postmaster_start_time() <= now() - $2 * interval '1 ms'
      order by d.lease_until limit $1`,
    [limit, headStart],
  );
  return rows;
}

/**
 * Rings due deliveries that nobody looked at: the queue lost them, or they were due too far ahead to be queued. The queue ignores a
 * ring for a job that it still has. Answers how many.
 */
export async function ringOverdue(db: Database, limit: number): Promise<number> {
  const { rowCount } = await db.query(
    `with late as (
       select id from deliveries d
        where state in ('pending', 'verifying', 'retrying') and due_at <= now() - $2 * interval '1 ms'
          and (rung_at < due_at
               or rung_at <= now() - least(greatest((rung_at - due_at) / 2, $3 * interval '1 ms'), $4 * interval '1 ms'))
          -- What still waits in the outbox cannot have been lost, and a full lane's backlog is not written to again and again.
          and not exists (select from outbox o where o.delivery_id = d.id)
        order by due_at limit $1
          for no key update skip locked
     ), rung as (
       update deliveries d set rung_at = now() from late where d.id = late.id returning d.id, d.destination, d.priority)
     insert into outbox (delivery_id, destination, priority) select id, destination, priority from rung
     on conflict (delivery_id) do nothing`,
    [limit, lateMs, repeatMs, longestRepeatMs],
  );
  if (rowCount) await db.query(`select pg_notify('tocsin_outbox', '')`);
  return rowCount ?? 0;
}

/** Lets one delivery through for each breaker that has waited out its pause. Its outcome closes the breaker, or opens it again. */
export async function sendProbes(db: Database): Promise<number> {
  return transaction(db, async (client) => {
    const { rowCount } = await client.query(
      `with ripe as (
         select name from destinations t
          where breaker_until <= now() and paused_at is null
            and not exists (select from deliveries p where p.id = t.probe and p.ended_at is null and p.state <> 'held')
          order by name for no key update skip locked
       ), chosen as (
         select r.name, p.id
           from ripe r
           left join lateral (
             select id from (
               -- Two looks, because each finds its first row by an index of its own however many wait.
               (select id from deliveries d
                 where destination = r.name and state = 'held' and hold = 'breaker' and ${free}
                 order by priority, seq limit 1)
               union all
               (select id from deliveries d
                 where destination = r.name and role = 'message' and state in ('pending', 'verifying', 'retrying') and ${free}
                 limit 1)) waiting
              limit 1) p on true
       ), probing as (
         -- With nothing waiting there is nothing to probe with: the next delivery to come finds the breaker closed.
         update destinations t
            set probe = c.id,
                breaker_until = case when c.id is null then null else t.breaker_until end
           from chosen c where t.name = c.name
       ), freed as (
         update deliveries d
            set state = case when d.state = 'held' then 'pending' else d.state end,
                hold = null, due_at = now(), rung_at = now(), updated_at = now()
           from chosen c where d.id = c.id
         returning d.id, d.destination, d.priority)
       -- Its job may still be kept for later: until it is followed nothing else is let through.
       insert into outbox (delivery_id, destination, priority, hurry) select id, destination, priority, true from freed
       on conflict (delivery_id) do update set taken_until = null, hurry = true`,
    );
    if (rowCount) await client.query(`select pg_notify('tocsin_outbox', '')`);
    return rowCount ?? 0;
  });
}

/** One that its topic holds back could not go, and would keep the breaker from trying another. */
const free = `(d.topic is null or d.confirmed > 0 or not exists (
  select from deliveries e
   where e.destination = d.destination and e.topic = d.topic and e.seq < d.seq
     and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held')))`;

/**
 * Frees held deliveries whose reason is gone, of a pause or breaker a chunk at a time. Who removes a reason frees the first chunk; this
 * goes on with the rest, and finds what was being held in the very moment in which the reason went. Answers how many.
 */
export async function releaseStranded(db: Database, limit: number): Promise<number> {
  return transaction(db, async (client) => {
    const { rows: gone } = await client.query<{ destination: string; hold: 'paused' | 'breaker' }>(
      `with recursive places as (
         -- The destinations at which anything is held, at one index probe each, however much that is.
         (select destination from deliveries where state = 'held' order by destination limit 1)
         union all
         select (select d.destination from deliveries d
                  where d.state = 'held' and d.destination > p.destination order by d.destination limit 1)
           from places p where p.destination is not null)
       select p.destination, h.hold
         from places p
         cross join (values ('paused'), ('breaker')) as h (hold)
         left join destinations t on t.name = p.destination
        where case h.hold when 'paused' then t.paused_at is null else t.breaker_until is null end
          and exists (select from deliveries d where d.destination = p.destination and d.hold = h.hold and d.state = 'held')`,
    );
    let freed = 0;
    for (const what of gone) freed += await release(client, what);
    const { rows: unblocked } = await client.query<{ destination: string; topic: string }>(
      `select distinct d.destination, d.topic
         from deliveries d
        where d.state = 'held' and d.hold = 'topic' and not exists (
          select from deliveries e
           where e.destination = d.destination and e.topic = d.topic and e.seq < d.seq
             and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held'))
        limit $1`,
      [limit],
    );
    return freed + (await release(client, { topicsAfter: unblocked }));
  });
}
