import type { Database } from './database.ts';
import { type DeliveryRow, deliveryColumns } from './rows.ts';

/** The deliveries of these broadcasts, by broadcast and in order. Their callbacks may be many more: only where they are asked for. */
export async function readDeliveriesOf(
  db: Database,
  broadcastIds: string[],
  { callbacks = false } = {},
): Promise<Map<string, DeliveryRow[]>> {
  const { rows } = await db.query<DeliveryRow>({
    name: callbacks ? 'read-deliveries-and-callbacks-of' : 'read-deliveries-of',
    text: `select ${deliveryColumns} from deliveries d
            where d.broadcast_id = any($1) ${callbacks ? '' : `and d.role = 'message'`} order by d.seq`,
    values: [broadcastIds],
  });
  return Map.groupBy(rows, ({ broadcast_id }) => broadcast_id);
}
