import type { Database } from './database.ts';
import { findEarlier } from './find-earlier.ts';
import { readDeliveriesOf } from './read-deliveries-of.ts';
import { type BroadcastRow, broadcastColumns, broadcastsWithMessage, type DeliveryRow } from './rows.ts';

export interface BroadcastRead {
  broadcast: BroadcastRow;
  /** Callbacks too, where a single broadcast is read. */
  deliveries: DeliveryRow[];
}

export async function readBroadcast(db: Database, id: string): Promise<BroadcastRead | null> {
  const { rows } = await db.query<BroadcastRow>({
    name: 'read-broadcast',
    text: `select ${broadcastColumns} from ${broadcastsWithMessage} where b.id = $1`,
    values: [id],
  });
  const [broadcast] = rows;
  if (!broadcast) return null;
  const deliveries = (await readDeliveriesOf(db, [id], { callbacks: true })).get(id) ?? [];
  return { broadcast, deliveries: await findEarlier(db, deliveries) };
}
