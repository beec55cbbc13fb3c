import type { FinalState } from '../delivery/state.ts';
import { conclude, lockBroadcasts } from './conclude.ts';
import { type Database, transaction } from './database.ts';
import type { StoredDelivery } from './rows.ts';
import { writeDeliveries } from './write-deliveries.ts';

/** Ends that a person may want to try again. Confirmed is done; cancelled and superseded were not wanted any more. */
export const retryableStates = ['dead', 'unknown', 'expired'] as const satisfies FinalState[];
export type RetryableState = (typeof retryableStates)[number];

export interface RetryFilter {
  states: readonly RetryableState[];
  id?: string;
  broadcastId?: string;
  destination?: string;
  /** By when they ended. */
  since?: Date;
  until?: Date;
}

/** So many at a time: each of them locks its broadcast until the transaction ends. */
const chunk = 200;

/** How many deliveries `retry` would take up now. Those whose destination is gone are left out: nobody could send them. */
export async function countRetryable(db: Database, filter: RetryFilter): Promise<number> {
  const { rows } = await db.query<{ n: number }>(
    `select count(*)::int as n from deliveries d where ${condition}`,
    values(filter),
  );
  return rows[0]?.n ?? 0;
}

/**
 * Opens ended deliveries again, with all their attempts before them; a past deadline no longer counts. One that may have landed is
 * looked for first where that is possible. What was taken up once is open and no longer matches, so pressing twice does it once.
 * Answers how many were taken up.
 */
export async function retry(db: Database, filter: RetryFilter): Promise<number> {
  // Only what had ended when the person pressed: a delivery that fails again meanwhile is not taken up twice.
  const { rows } = await db.query<{ id: string }>(
    `select d.id from deliveries d where ${condition} order by d.seq`,
    values(filter),
  );
  let retried = 0;
  for (let from = 0; from < rows.length; from += chunk) {
    const ids = rows.slice(from, from + chunk).map(({ id }) => id);
    retried += await transaction(db, async (client) => {
      const standings = await lockBroadcasts(client, { ofDeliveries: ids });
      const wanted = new Set(ids);
      const revisions = new Map(standings.broadcasts.map(({ id, revision }) => [id, revision]));
      const changed = standings.deliveries
        .filter((row) => wanted.has(row.id) && (filter.states as readonly string[]).includes(row.state))
        .filter((row) => !(row.retracted && row.confirmed === 0 && row.suspect === null && !row.doubtful))
        .map(
          (row): StoredDelivery => ({
            ...row,
            state: 'pending',
            // Old text is never sent late: what ended before a revision is taken up at the newest one.
            desired: row.role === 'message' ? (revisions.get(row.broadcast_id) ?? row.desired) : row.desired,
            attempt: 0,
            uncounted: 0,
            // Refusals from before the person pressed do not count against it.
            last_error: row.last_error && { ...row.last_error, refusedSince: undefined },
            cancel_requested: false,
            expires_at: null,
            due_at: standings.now,
            // Who tries again gives it all its time before its fallback is told.
            waiting_since: standings.now,
            updated_at: standings.now,
            ended_at: null,
          }),
        );
      await writeDeliveries(client, changed);
      await conclude(client, standings, changed);
      return changed.length;
    });
  }
  return retried;
}

const condition = `d.state = any($1) and ($2::text is null or d.id = $2)
  and ($3::text is null or (d.broadcast_id = $3 and d.role = 'message'))
  and ($4::text is null or d.destination = $4)
  and ($5::timestamptz is null or d.ended_at >= $5) and ($6::timestamptz is null or d.ended_at < $6)
  and (d.role = 'callback' or exists (select from destinations t where t.name = d.destination))
  -- Taken back before it was ever said: there is nothing left to say or to take back.
  and not (d.role = 'message' and d.confirmed = 0 and d.suspect is null and not d.doubtful
           and exists (select from broadcasts b where b.id = d.broadcast_id and b.retracted))`;

function values({ states, id, broadcastId, destination, since, until }: RetryFilter): unknown[] {
  return [states, id ?? null, broadcastId ?? null, destination ?? null, since ?? null, until ?? null];
}
