import type { PoolClient } from 'pg';
import type { Fault, Outcome } from '../delivery/outcome.ts';
import { looksOf, ownBudget } from './budget.ts';
import { jsonb, storable } from './database.ts';
import { release } from './release.ts';
import type { Move } from './settle.ts';

/** Faults in a row that open a breaker. Fewer, and one lost reply stops a healthy destination; more, and an outage eats attempts. */
const faultsThatTrip = 5;
/** The first opening lasts so long, in milliseconds; each one in a row twice as long as the last, up to the longest. */
const firstPauseMs = 10_000;
const longestPauseMs = 300_000;

/** What changed about a destination, for the log. */
export interface HealthNews {
  destination: string;
  is: 'opened' | 'closed' | 'paused';
  /** Until when, or why. */
  detail: string;
}

/**
 * What outcomes say about the health of their destinations: opens, re-opens and closes breakers, records stated rate limits, and
 * pauses a destination whose credential was refused. Runs last in settle's transaction, destinations in one order.
 */
export async function judgeHealth(client: PoolClient, moves: readonly Move[]): Promise<HealthNews[]> {
  await block(client, moves);
  const messages = moves.filter(({ after }) => after.role === 'message');
  const destinations = [...new Set(messages.map(({ after }) => after.destination))].sort();
  const news: HealthNews[] = [];
  for (const destination of destinations) {
    const here = messages.filter(({ after }) => after.destination === destination);
    const telling = here.filter(({ settlement }) => settlement.tellsHealth !== false);
    if (telling.length > 0) news.push(...(await count(client, destination, telling)));
    news.push(...(await pauseRefused(client, destination, here)));
  }
  return news;
}

async function count(client: PoolClient, destination: string, moves: readonly Move[]): Promise<HealthNews[]> {
  const sick = moves.map(({ settlement: { outcome } }) => isSick(outcome));
  const healthy = sick.includes(false);
  const ids = moves.map(({ after }) => after.id);
  const healthyIds = ids.filter((_, index) => !sick[index]);
  const trailing = sick.length - 1 - sick.lastIndexOf(false);
  const { rows } = await client.query<{ closed: boolean; opened: boolean; until: Date | null }>({
    name: 'judge-health',
    text: `
with before as (
  select name, faults, breaker_until, breaker_trips, probe from destinations
   where name = $1 and ($3 > 0 or faults > 0 or breaker_until is not null)
   order by name for no key update
), judged as (
  select *, case when $2 then 0 else faults end + $3 as in_a_row,
         breaker_until is not null and probe = any($4) as probed, coalesce(probe = any($8), false) as probe_healthy
    from before
), verdict as (
  select *,
         -- Outcomes of sends from before the opening trickle in; only the probe's decides while it is open.
         case when probed then not probe_healthy
              when breaker_until is not null then null
              else in_a_row >= $5 end as trip,
         coalesce(probed and probe_healthy, false) as close
    from judged
)
update destinations t
   set faults = v.in_a_row,
       breaker_until = case when v.trip then now() + least($6 * power(2, least(v.breaker_trips, 20)), $7) * interval '1 ms'
                            when v.close then null else t.breaker_until end,
       breaker_trips = case when v.trip then v.breaker_trips + 1 when v.close then 0 else t.breaker_trips end,
       probe = case when v.trip or v.close then null else t.probe end
  from verdict v
 where t.name = v.name
returning v.close as closed, v.trip as opened, t.breaker_until as until`,
    values: [destination, healthy, trailing, ids, faultsThatTrip, firstPauseMs, longestPauseMs, healthyIds],
  });
  const [after] = rows;
  if (after?.closed) await release(client, { destination, hold: 'breaker' });
  if (after?.closed) return [{ destination, is: 'closed', detail: '' }];
  return after?.opened ? [{ destination, is: 'opened', detail: after.until?.toISOString() ?? '' }] : [];
}

async function block(client: PoolClient, moves: readonly Move[]): Promise<void> {
  const limited = moves.flatMap(({ after: { destination }, step: { blockedUntil: until }, action }) =>
    until ? [{ destination, until, suffix: action === 'verify' ? looksOf : '' }] : [],
  );
  if (limited.length === 0) return;
  await client.query({
    name: 'block-budgets',
    text: `
insert into budgets (budget, blocked_until)
select coalesce(t.budget, ${ownBudget('g.destination')}) || g.suffix, max(g.until)
  from jsonb_to_recordset($1::jsonb) as g (destination text, until timestamptz, suffix text)
  left join destinations t on t.name = g.destination
 group by 1 order by 1
on conflict (budget) do update set blocked_until = greatest(budgets.blocked_until, excluded.blocked_until)`,
    values: [jsonb(limited)],
  });
}

async function pauseRefused(client: PoolClient, destination: string, moves: readonly Move[]): Promise<HealthNews[]> {
  const fault = moves.map(({ settlement: { outcome } }) => refusedCredential(outcome)).find((found) => found !== null);
  if (!fault) return [];
  // What cannot be opened was not refused by anybody, and its sentence says all.
  const detail = storable(fault.ours ? fault.message : `credential refused (${fault.reason}): ${fault.message}`);
  const { rowCount } = await client.query({
    name: 'pause-refused',
    text: `update destinations set paused_at = now(), pause_reason = $2, updated_at = now() where name = $1 and paused_at is null`,
    values: [destination, detail],
  });
  return rowCount === 1 ? [{ destination, is: 'paused', detail }] : [];
}

function isSick(outcome: Outcome): boolean {
  if (outcome.is !== 'fault' && outcome.is !== 'unclear') return false;
  if (outcome.fault.inconclusive) return false;
  return outcome.fault.class === 'transient' || outcome.fault.class === 'ambiguous';
}

function refusedCredential(outcome: Outcome): Fault | null {
  if (outcome.is !== 'fault' && outcome.is !== 'unclear') return null;
  const { fault } = outcome;
  const told = fault.ours || (outcome.is === 'fault' && fault.class === 'permanent');
  return told && fault.credential === true ? fault : null;
}
