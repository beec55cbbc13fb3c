import type { Database } from './database.ts';
import { findEarlier } from './find-earlier.ts';
import { type AttemptRow, type DeliveryRow, deliveryColumns } from './rows.ts';

/** A delivery with every attempt that was made at it, the oldest first. */
export async function readDelivery(
  db: Database,
  id: string,
): Promise<{ delivery: DeliveryRow; attempts: AttemptRow[] } | null> {
  const { rows } = await db.query<DeliveryRow>(`select ${deliveryColumns} from deliveries d where d.id = $1`, [id]);
  const [delivery] = await findEarlier(db, rows);
  if (!delivery) return null;
  const attempts = await db.query<AttemptRow>(
    `select n, action, revision, started_at, finished_at, outcome, error from attempts where delivery_id = $1 order by n`,
    [id],
  );
  return { delivery, attempts: attempts.rows };
}
