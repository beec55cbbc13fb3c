import type { Database } from './database.ts';
import { type DeliveryRow, deliveryColumns } from './rows.ts';

/** The deliveries of these broadcasts, callbacks too, by broadcast and in order. */
export async function readDeliveriesOf(db: Database, broadcastIds: string[]): Promise<Map<string, DeliveryRow[]>> {
  const { rows } = await db.query<DeliveryRow>({
    name: 'read-deliveries-of',
    text: `select ${deliveryColumns} from deliveries d where d.broadcast_id = any($1) order by d.seq`,
    values: [broadcastIds],
  });
  return Map.groupBy(rows, ({ broadcast_id }) => broadcast_id);
}
