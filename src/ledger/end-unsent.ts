import { conclude, lockBroadcasts } from './conclude.ts';
import { type Database, transaction } from './database.ts';
import type { StoredDelivery } from './rows.ts';
import { writeDeliveries } from './write-deliveries.ts';

/** True while nothing of it is known to be there, and nothing is in flight or being looked for. */
export function isUnsent(row: StoredDelivery): boolean {
  return (
    (row.state === 'pending' || row.state === 'retrying' || row.state === 'held') &&
    row.confirmed === 0 &&
    (row.suspect === null || row.suspect.absentAt !== null)
  );
}

/** Ends it without another send. One whose send may have landed all the same is not known to be unsaid. */
export function ended(row: StoredDelivery, wanted: 'cancelled' | 'expired' | 'superseded', now: Date): StoredDelivery {
  const state = row.doubtful ? 'unknown' : wanted;
  return { ...row, state, hold: null, due_at: null, updated_at: now, ended_at: now };
}

/**
 * Cancels what a broadcast has not sent yet. What is in flight, or may have landed, is settled first and then not sent again.
 * Resolves false when there is no such broadcast. Twice is the same as once.
 */
export async function cancel(db: Database, broadcastId: string): Promise<boolean> {
  return transaction(db, async (client) => {
    const standings = await lockBroadcasts(client, { ids: [broadcastId] });
    const changed = standings.deliveries
      .filter((row) => row.role === 'message' && row.ended_at === null && row.confirmed === 0)
      .map((row) =>
        isUnsent(row)
          ? ended(row, 'cancelled', standings.now)
          : { ...row, cancel_requested: true, updated_at: standings.now },
      );
    await writeDeliveries(client, changed);
    await conclude(client, standings, changed);
    return standings.broadcasts.length > 0;
  });
}

/** Ends what was to be confirmed by now and was not even sent, oldest first. Answers how many that were. */
export async function expireOverdue(db: Database, limit: number): Promise<number> {
  return transaction(db, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `select id from deliveries
        where expires_at <= now() and state in ('pending', 'retrying', 'held') and confirmed = 0
          and (suspect is null or suspect ->> 'absentAt' is not null)
        order by expires_at limit $1`,
      [limit],
    );
    if (rows.length === 0) return 0;
    const overdue = new Set(rows.map(({ id }) => id));
    const standings = await lockBroadcasts(client, { ofDeliveries: [...overdue] });
    const changed = standings.deliveries
      .filter((row) => overdue.has(row.id) && isUnsent(row))
      .map((row) => ended(row, 'expired', standings.now));
    await writeDeliveries(client, changed);
    await conclude(client, standings, changed);
    return changed.length;
  });
}

/**
 * Ends what can never be sent because its destination was removed in the very moment in which the delivery was recorded: dead, and
 * saying why. What is in flight is left to settle. Answers how many that were.
 */
export async function endOrphans(db: Database, limit: number): Promise<number> {
  return transaction(db, async (client) => {
    const { rows } = await client.query<{ id: string }>(
      `select d.id from deliveries d
        where d.state in ('pending', 'retrying', 'held', 'verifying') and d.role = 'message'
          and not exists (select from destinations t where t.name = d.destination)
        limit $1`,
      [limit],
    );
    if (rows.length === 0) return 0;
    const orphans = new Set(rows.map(({ id }) => id));
    const standings = await lockBroadcasts(client, { ofDeliveries: [...orphans] });
    const changed = standings.deliveries
      .filter((row) => orphans.has(row.id) && row.ended_at === null && row.state !== 'sending')
      .map((row): StoredDelivery => {
        const message = `The destination ${row.destination} does not exist any more.`;
        const last_error = { class: 'permanent' as const, reason: 'destination_removed', message, status: null };
        // One that may have landed is not known to be dead.
        const state = row.suspect || row.doubtful ? 'unknown' : 'dead';
        return { ...ended(row, 'cancelled', standings.now), state, last_error };
      });
    await writeDeliveries(client, changed);
    await conclude(client, standings, changed);
    return changed.length;
  });
}
