import { severities } from '../message.ts';
import { escalateAfterMs } from '../policy.ts';
import { conclude, lockBroadcasts } from './conclude.ts';
import { type Database, isAboutItem, transaction } from './database.ts';
import { priorityOf } from './priority.ts';

/** So many at a time: each of them locks its broadcast until the transaction ends. */
const chunk = 100;
/** So many may fail in one round: each may have waited for a lock. */
const mostFailures = 5;

/**
 * Sends what was not confirmed in time to its destination's fallback as well, the most urgent first; the delivery itself goes on.
 * This holds for a held delivery too: an outage holds all but a few. Answers how many that were.
 */
export async function escalateOverdue(db: Database, limit: number): Promise<number> {
  const { rows } = await db.query<{ id: string }>({
    name: 'find-unescalated',
    text: search,
    values: [
      severities.map(priorityOf),
      priorityOf('critical'),
      escalateAfterMs.critical,
      escalateAfterMs.others,
      limit,
    ],
  });
  const waiting: string[][] = [];
  for (let from = 0; from < rows.length; from += chunk)
    waiting.push(rows.slice(from, from + chunk).map(({ id }) => id));
  let escalated = 0;
  const failures: unknown[] = [];
  for (let ids = waiting.shift(); ids; ids = waiting.shift()) {
    try {
      escalated += await escalate(db, ids);
    } catch (error) {
      if (!isAboutItem(error)) throw error;
      // Whatever ails one of them, perhaps that it is locked, must not keep the others from their fallback.
      if (ids.length > 1) waiting.unshift(...ids.map((id) => [id]));
      else if (failures.push(error) === mostFailures) break;
    }
  }
  if (failures.length > 0) throw failures[0];
  return escalated;
}

async function escalate(db: Database, ids: readonly string[]): Promise<number> {
  const overdue = new Set(ids);
  return transaction(db, async (client) => {
    const standings = await lockBroadcasts(client, { ofDeliveries: ids });
    // Another sweep may have been here between the search and the lock; an outcome, or a person, too.
    const late = standings.deliveries.filter(
      (row) => overdue.has(row.id) && row.ended_at === null && row.confirmed === 0,
    );
    return (await conclude(client, standings, [], { late })).escalated;
  });
}

// One probe of the index for each destination with a fallback and each severity, and a look at what is in flight there, which is not
// in it. What the policy says holds at once, for what is waiting already too.
const wanted = `w.destination = t.name and w.priority = p.priority and w.waiting_since <= now() - after.ms * interval '1 ms'
  and w.role = 'message' and w.ended_at is null and w.confirmed = 0 and w.escalated_to is null and not w.cancel_requested
  and not exists (select from broadcasts b where b.id = w.broadcast_id and b.retracted offset 0)`;
const search = `
select d.id
  from destinations t
  cross join unnest($1::smallint[]) as p (priority)
  cross join lateral (
    select case when t.policy ? 'escalateAfterMs' then (t.policy ->> 'escalateAfterMs')::float8
                when p.priority = $2 then $3::float8 else $4::float8 end as ms) after
  cross join lateral (
    (select id, waiting_since from deliveries w where ${wanted} and w.lease_until is null order by w.waiting_since limit $5)
    union all
    select id, waiting_since from deliveries w where ${wanted} and w.lease_until is not null) d
 where t.fallback is not null and after.ms is not null
 order by p.priority, d.waiting_since
 limit $5`;
