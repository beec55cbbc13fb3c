import { conclude, lockBroadcasts } from './conclude.ts';
import { type Database, transaction } from './database.ts';
import { ended, isUnsent } from './unsent.ts';
import { writeDeliveries } from './write-deliveries.ts';

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
