import { conclude, lockBroadcasts } from './conclude.ts';
import { type Database, transaction } from './database.ts';
import type { StoredDelivery } from './rows.ts';
import { ended } from './unsent.ts';
import { writeDeliveries } from './write-deliveries.ts';

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
