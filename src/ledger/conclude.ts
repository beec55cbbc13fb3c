import type { PoolClient } from 'pg';
import type { Action } from '../delivery/outcome.ts';
import { isFinal } from '../delivery/state.ts';
import { verdict } from '../delivery/verdict.ts';
import { crossLink } from './cross-link.ts';
import { callbacksFor, fallbacksFor, isFailure, recordFollowers } from './followers.ts';
import { release } from './release.ts';
import { renewCallbacks } from './renew-callbacks.ts';
import { type StoredBroadcast, type StoredDelivery, storedBroadcastColumns, storedDeliveryColumns } from './rows.ts';

/** A delivery with what its broadcast and its newest attempt add to it. */
export type InFlight = StoredDelivery & {
  retracted: boolean;
  started_at: Date | null;
  attempted_action: Action | null;
  attempted_revision: number | null;
  /** It was let through its destination's open breaker. */
  probing: boolean;
};

/** Some broadcasts, locked, with all their messages, and the callbacks that were asked for. */
export interface Standings {
  broadcasts: StoredBroadcast[];
  deliveries: InFlight[];
  /** The database's clock, read after the locks were had. */
  now: Date;
}

const lockGiven = {
  name: 'lock-broadcasts',
  text: 'select id from broadcasts where id = any($1) order by id for no key update',
};

const lockThoseOf = {
  name: 'lock-broadcasts-of',
  // The role is looked at outside, or a scan of all messages might seem cheaper than their keys.
  text: `
select id from broadcasts
 where id = any(array(select g.broadcast_id
                        from (select broadcast_id, role from deliveries where id = any($1) offset 0) g
                       where g.role = 'message'))
 order by id for no key update`,
};

/**
 * Locks the broadcasts of these deliveries (or these broadcasts), in one order, and reads them with all their messages. Two last
 * deliveries that finish together would otherwise each see the other one open, and nobody would close the broadcast. Of callbacks only
 * the given ones are read, and nothing with them: what becomes of one changes nothing about its broadcast.
 */
export async function lockBroadcasts(
  client: PoolClient,
  which: { ofDeliveries: readonly string[] } | { ids: readonly string[] },
): Promise<Standings> {
  const [lock, ids, given] =
    'ids' in which ? [lockGiven, which.ids, []] : [lockThoseOf, which.ofDeliveries, which.ofDeliveries];
  const { rows: locked } = await client.query<{ id: string }>({ ...lock, values: [ids] });
  const broadcastIds = locked.map(({ id }) => id);
  // Read by a statement of its own: one that waited for the lock would join the newest broadcast with the revisions of before
  // it waited, and find none.
  const { rows: broadcasts } = await client.query<StoredBroadcast>({
    name: 'read-locked-broadcasts',
    text: `
select ${storedBroadcastColumns}
  from broadcasts b
  cross join lateral (select message from revisions where broadcast_id = b.id and revision = b.revision offset 0) r
 where b.id = any($1)
 order by b.id`,
    values: [broadcastIds],
  });
  // A claim locks deliveries but no broadcast: without this, what is read below could be claimed before it is written.
  const { rows: concerned } = await client.query<{ id: string }>({
    name: 'lock-deliveries',
    text: `
select id from deliveries
 where id = any(array(select id from deliveries where broadcast_id = any($1) and role = 'message'
                      union all select unnest($2::text[])))
 order by id for no key update`,
    values: [broadcastIds, given],
  });
  const { rows: deliveries } = await client.query<InFlight & { now: Date }>({
    name: 'read-locked-deliveries',
    // A callback still tells what happened when its broadcast is taken back.
    text: `
select ${storedDeliveryColumns}, b.retracted and d.role = 'message' as retracted, coalesce(d.started_at, a.started_at) as started_at,
       a.action as attempted_action, a.revision as attempted_revision, clock_timestamp() as now,
       exists (select from destinations t where t.name = d.destination and t.probe = d.id offset 0) as probing
  from deliveries d
  cross join lateral (select retracted from broadcasts where id = d.broadcast_id offset 0) b
  left join lateral (
    select action, revision, started_at from attempts where delivery_id = d.id and n = d.claims offset 0) a on true
 where d.id = any($1) order by d.seq`,
    values: [concerned.map(({ id }) => id)],
  });
  return { broadcasts, deliveries, now: deliveries[0]?.now ?? new Date() };
}

/**
 * What changed deliveries bring about, in the transaction that changes them: escalations, the broadcasts' verdicts, callbacks, and
 * the next delivery of a topic. `changed` holds the deliveries as they are now written; `standings` as they were. `updated`: the text changed too.
 * `late` ones are escalated although they are open. Answers how many were escalated.
 */
export async function conclude(
  client: PoolClient,
  { broadcasts, deliveries, now }: Standings,
  changed: readonly StoredDelivery[],
  { updated = false, late = [] }: { updated?: boolean; late?: readonly StoredDelivery[] } = {},
): Promise<{ escalated: number }> {
  const rows = new Map<string, StoredDelivery>(deliveries.map((row) => [row.id, row]));
  const ended = changed.filter((row) => isFinal(row.state) && rows.get(row.id)?.ended_at === null);
  for (const row of changed) rows.set(row.id, row);
  // What nobody wants any more is not escalated: a fallback would say what was cancelled, or wait for ever to say nothing.
  const retracted = new Set(broadcasts.filter((broadcast) => broadcast.retracted).map(({ id }) => id));
  const failed = [...ended.filter(isFailure), ...late];
  const wanted = failed.filter((row) => !row.cancel_requested && !retracted.has(row.broadcast_id));
  const { escalated, followers } = await fallbacksFor(client, wanted, rows, now);
  const escalating = new Set(escalated.map(({ broadcast_id }) => broadcast_id));
  // That a copy now shows its links as well is no news to whoever was told that it is there.
  const linked = new Set(deliveries.filter(({ linking }) => linking).map(({ id }) => id));

  for (let broadcast of broadcasts) {
    const its = (row: StoredDelivery) => row.broadcast_id === broadcast.id && row.role === 'message';
    const endedHere = ended.filter(its);
    let copies = [...rows.values(), ...followers].filter(its);
    if (verdictOf(copies) !== 'converging') {
      const linking = await crossLink(client, broadcast, copies, now);
      if (linking) {
        const relinked = new Map(linking.changed.map((row) => [row.id, row]));
        copies = copies.map((row) => relinked.get(row.id) ?? row);
        broadcast = linking.broadcast;
      }
    }
    const state = verdictOf(copies);
    const moved = state !== broadcast.state;
    const after = {
      ...broadcast,
      state,
      converged_at: state === 'converging' ? null : moved ? now : broadcast.converged_at,
    };
    if (moved) {
      await client.query({
        name: 'move-broadcast',
        text: 'update broadcasts set state = $2, converged_at = $3 where id = $1',
        values: [broadcast.id, state, after.converged_at],
      });
    }
    const converged = moved && state !== 'converging';
    const told = endedHere.filter((row) => !linked.has(row.id));
    followers.push(
      ...callbacksFor(after, { ended: told, updated: updated || escalating.has(broadcast.id), converged }, now),
    );
  }

  await release(client, { topicsAfter: ended });
  // Last, for it locks callbacks out of their order: nothing is waited for behind it.
  await recordFollowers(client, await renewCallbacks(client, followers, now));
  const heard = new Set([...broadcasts.map(({ id }) => id), ...changed.map((row) => row.broadcast_id)]);
  await client.query({
    name: 'tell-broadcasts',
    text: `select pg_notify('tocsin_broadcast', id) from unnest($1::text[]) id`,
    values: [[...heard]],
  });
  return { escalated: escalated.length };
}

function verdictOf(copies: readonly StoredDelivery[]) {
  return verdict(
    copies.map(({ id, state, required, escalated_from }) => ({ id, state, required, insteadOf: escalated_from })),
  );
}
