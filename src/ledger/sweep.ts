import type { Action } from '../delivery/outcome.ts';
import type { Policy } from '../policy.ts';
import { type Database, transaction } from './database.ts';
import { release } from './release.ts';

/** A delivery this late, in milliseconds, was forgotten by the queue: its job normally comes within a few of them. */
const lateMs = 5_000;
/** A ring that was not followed for so long, in milliseconds, is repeated: the queue may have been emptied. */
const repeatMs = 30_000;

/** An attempt whose lease ran out: the process that made it died, and nobody knows how far it got. */
export interface LostAttempt {
  id: string;
  claim: number;
  action: Action;
  kind: string;
  policy: Policy | null;
}

export async function findLostAttempts(db: Database, limit: number): Promise<LostAttempt[]> {
  const { rows } = await db.query<LostAttempt>(
    `select d.id, d.claims as claim, d.action, d.kind, t.policy
       from deliveries d left join destinations t on t.name = d.destination and d.role = 'message'
      where d.state = 'sending' and d.lease_until <= now()
      order by d.lease_until limit $1`,
    [limit],
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
       select id from deliveries
        where state in ('pending', 'verifying', 'retrying') and due_at <= now() - $2 * interval '1 ms'
          and (rung_at < due_at or rung_at <= now() - $3 * interval '1 ms')
        order by due_at limit $1
          for no key update skip locked
     ), rung as (
       update deliveries d set rung_at = now() from late where d.id = late.id returning d.id, d.priority)
     insert into outbox (delivery_id, priority) select id, priority from rung
     on conflict (delivery_id) do nothing`,
    [limit, lateMs, repeatMs],
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
          where breaker_until <= now()
            and not exists (select from deliveries p where p.id = t.probe and p.ended_at is null)
          order by name for no key update skip locked
       ), chosen as (
         select r.name, p.id
           from ripe r
           left join lateral (
             select id from deliveries
              where destination = r.name and role = 'message'
                and (state = 'held' and hold = 'breaker' or state in ('pending', 'verifying', 'retrying'))
              order by priority, seq limit 1) p on true
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
         returning d.id, d.priority)
       insert into outbox (delivery_id, priority) select id, priority from freed
       on conflict (delivery_id) do update set taken_until = null`,
    );
    if (rowCount) await client.query(`select pg_notify('tocsin_outbox', '')`);
    return rowCount ?? 0;
  });
}

/**
 * Frees held deliveries whose reason is gone. Who removes a reason also frees what it held; this is for those that were being held
 * in the very moment in which it went.
 */
export async function releaseStranded(db: Database, limit: number): Promise<number> {
  return transaction(db, async (client) => {
    const { rows: gone } = await client.query<{ destination: string; hold: 'paused' | 'breaker' }>(
      `select distinct d.destination, d.hold
         from deliveries d left join destinations t on t.name = d.destination
        where d.state = 'held'
          and (d.hold = 'paused' and t.paused_at is null or d.hold = 'breaker' and t.breaker_until is null)`,
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
