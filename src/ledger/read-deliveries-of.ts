import type { Database } from './database.ts';
import { type DeliveryRow, deliveryColumns } from './rows.ts';

/** Of a broadcast that is revised often there may be thousands: the newest say what is going on. */
export const mostCallbacks = 100;

const copies = `select ${deliveryColumns} from deliveries d
  where d.broadcast_id = any($1) and d.role = 'message' order by d.seq`;

const copiesAndCallbacks = `select ${deliveryColumns} from unnest($1::text[]) its (id)
  cross join lateral (
    (select * from deliveries where broadcast_id = its.id and role = 'message')
    union all
    (select * from deliveries where broadcast_id = its.id and role = 'callback' order by seq desc limit ${mostCallbacks})) d
  order by d.seq`;

/**
 * The deliveries of these broadcasts, by broadcast and in order. The newest of their callbacks, which may be many more, are among them
 * only where they are asked for.
 */
export async function readDeliveriesOf(
  db: Database,
  broadcastIds: string[],
  { callbacks = false } = {},
): Promise<Map<string, DeliveryRow[]>> {
  const { rows } = await db.query<DeliveryRow>({
    name: callbacks ? 'read-deliveries-and-callbacks-of' : 'read-deliveries-of',
    text: callbacks ? copiesAndCallbacks : copies,
    values: [broadcastIds],
  });
  return Map.groupBy(rows, ({ broadcast_id }) => broadcast_id);
}
