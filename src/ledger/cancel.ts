import { conclude, lockBroadcasts } from './conclude.ts';
import { type Database, transaction } from './database.ts';
import { ended, isUnsent } from './unsent.ts';
import { writeDeliveries } from './write-deliveries.ts';

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
