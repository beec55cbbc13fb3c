import { isDeepStrictEqual } from 'node:util';
import type { PoolClient } from 'pg';
import type { Message } from '../message.ts';
import { conclude, lockBroadcasts, type Standings } from './conclude.ts';
import { type Database, transaction } from './database.ts';
import { priorityOf } from './priority.ts';
import type { StoredDelivery } from './rows.ts';
import { ended, isUnsent } from './unsent.ts';
import { writeDeliveries } from './write-deliveries.ts';

/** So many texts a broadcast may have: each is kept, and sent to every copy. It can still be taken back after that. */
export const mostRevisions = 1_000;

export type Revised = 'revised' | 'unchanged' | 'cancelled' | 'retracted' | 'exhausted' | 'missing';

/**
 * Gives a broadcast its next text: copies that exist are to be edited, deliveries still open will send only this one. Changes nothing
 * when it says so already (`unchanged`), once the last revision has said nothing (`retracted`), when it was cancelled before
 * anything of it was there to be edited, and when it has had all its texts (`exhausted`).
 */
export async function revise(db: Database, broadcastId: string, message: Message): Promise<Revised> {
  return transaction(db, async (client) => {
    const standings = await lockBroadcasts(client, { ids: [broadcastId] });
    const [broadcast] = standings.broadcasts;
    if (!broadcast) return 'missing';
    if (broadcast.retracted) return 'retracted';
    const stands = standings.deliveries.some(({ role, confirmed }) => role === 'message' && confirmed > 0);
    if (broadcast.state === 'cancelled' && !stands) return 'cancelled';
    // As it is stored: what is undefined is not there at all.
    if (isDeepStrictEqual(JSON.parse(JSON.stringify(message)), broadcast.message)) return 'unchanged';
    if (broadcast.revision >= mostRevisions) return 'exhausted';
    await addRevision(client, standings, message, false);
    return 'revised';
  });
}

/** Takes a broadcast back: what was sent is to be deleted or struck, what was not is not sent. Twice is the same as once. */
export async function retract(db: Database, broadcastId: string): Promise<Revised> {
  return transaction(db, async (client) => {
    const standings = await lockBroadcasts(client, { ids: [broadcastId] });
    const [broadcast] = standings.broadcasts;
    if (!broadcast) return 'missing';
    if (!broadcast.retracted) await addRevision(client, standings, broadcast.message, true);
    return 'retracted';
  });
}

/** It ended without proof that nothing of it is there: taking it back looks for it, or says so under its key. */
function mayStand({ suspect, doubtful }: StoredDelivery): boolean {
  return doubtful || (suspect !== null && suspect.absentAt === null);
}

async function addRevision(
  client: PoolClient,
  standings: Standings,
  message: Message,
  retracted: boolean,
): Promise<void> {
  const [broadcast] = standings.broadcasts;
  if (!broadcast) return;
  const revision = broadcast.revision + 1;
  await client.query('insert into revisions (broadcast_id, revision, message, retracted) values ($1, $2, $3, $4)', [
    broadcast.id,
    revision,
    message,
    retracted,
  ]);
  await client.query('update broadcasts set revision = $2, severity = $3, retracted = $4 where id = $1', [
    broadcast.id,
    revision,
    message.severity,
    retracted,
  ]);
  const changed = standings.deliveries
    // A copy is there once something was confirmed, even if its last edit ended dead or unknown.
    .filter(
      (row) => row.role === 'message' && (row.ended_at === null || row.confirmed > 0 || (retracted && mayStand(row))),
    )
    .map((row): StoredDelivery => {
      if (retracted && isUnsent(row) && !row.doubtful) return ended(row, 'superseded', standings.now);
      const towards = {
        ...row,
        desired: revision,
        linking: false,
        // A deadline bounds what is said, not what is taken back.
        expires_at: retracted ? null : row.expires_at,
        priority: priorityOf(message.severity),
        updated_at: standings.now,
      };
      // The new text has all its tries before it; the one in flight is the first.
      if (row.ended_at === null)
        return { ...towards, attempt: row.state === 'sending' ? Math.min(row.attempt, 1) : 0, uncounted: 0 };
      return { ...towards, state: 'pending', attempt: 0, uncounted: 0, due_at: standings.now, ended_at: null };
    });
  await writeDeliveries(client, changed);
  await conclude(
    client,
    { ...standings, broadcasts: [{ ...broadcast, revision, retracted, message, severity: message.severity }] },
    changed,
    { updated: true },
  );
}
