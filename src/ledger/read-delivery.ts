import type { Database } from './database.ts';
import { findEarlier } from './find-earlier.ts';
import { type AttemptRow, type DeliveryRow, deliveryColumns } from './rows.ts';

/** So many attempts are read at the most, the newest: a service that refuses for a day is asked two thousand times. */
const mostAttempts = 500;

/** A delivery with the newest attempts that were made at it, the oldest of them first, and how many before them are left out. */
export async function readDelivery(
  db: Database,
  id: string,
): Promise<{ delivery: DeliveryRow; attempts: AttemptRow[]; leftOut: number } | null> {
  const { rows } = await db.query<DeliveryRow>(`select ${deliveryColumns} from deliveries d where d.id = $1`, [id]);
  const [delivery] = await findEarlier(db, rows);
  if (!delivery) return null;
  const attempts = await db.query<AttemptRow>(
    `select n, action, revision, started_at, finished_at, outcome, error from attempts where delivery_id = $1
     union all
     -- The one in flight is written down when it is settled.
     select claims, action, sending_revision, started_at, null, null, null from deliveries where id = $1 and state = 'sending'
      order by n desc limit $2`,
    [id, mostAttempts],
  );
  const [oldest] = attempts.rows.reverse();
  return { delivery, attempts: attempts.rows, leftOut: oldest ? oldest.n - 1 : 0 };
}
