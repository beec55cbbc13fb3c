import { type Database, transaction } from './database.ts';
import { notifyDue } from './due.ts';
import { stamp } from './rows.ts';

/** One that its topic holds back could not go, and would keep the breaker from trying another. */
const free = `(d.topic is null or d.confirmed > 0 or not exists (
  select from deliveries e
   where e.destination = d.destination and e.topic = d.topic and e.seq < d.seq
     and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held')))`;

/** Lets one delivery through for each breaker that has waited out its pause. Its outcome closes the breaker, or opens it again. */
export async function sendProbes(db: Database): Promise<number> {
  return transaction(db, async (client) => {
    const { rows } = await client.query<{ destination: string }>(
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
                 where destination = r.name and role = 'message' and due_at is not null and ${free}
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
                hold = null, due_at = now(), updated_at = now(), ${stamp}
           from chosen c
          where d.id = any(array(select id from chosen)) and d.id = c.id
            -- Another sweep may have been quicker, and it is on its way; or it was cancelled since it was chosen.
            and d.state in ('pending', 'verifying', 'retrying', 'held')
         returning d.destination)
       select destination from freed`,
    );
    await notifyDue(
      client,
      rows.map(({ destination }) => destination),
    );
    return rows.length;
  });
}
