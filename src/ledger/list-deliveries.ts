import type { DeliveryState } from '../delivery/state.ts';
import type { Database } from './database.ts';
import { deliveryBytes, firstPage } from './first-page.ts';
import { type DeliveryRow, deliveryColumns, type Page } from './rows.ts';

export interface DeliveryFilter {
  states: DeliveryState[] | null;
  destination: string | null;
  broadcast: string | null;
  /** Created at or after. */
  since: Date | null;
  /** Created before. */
  until: Date | null;
}

/** Newest first, callbacks too. `after` is the id that the last page ended with. */
export async function listDeliveries(
  db: Database,
  { states, destination, broadcast, since, until }: DeliveryFilter,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<DeliveryRow>> {
  const { rows: found } = await db.query<{ id: string; weight: number }>(
    `select d.id, ${deliveryBytes} as weight from deliveries d
      where ($2::text is null or d.id < $2)
        and ($3::text[] is null or d.state = any($3))
        and ($4::text is null or d.destination = $4)
        and ($5::text is null or d.broadcast_id = $5)
        and ($6::timestamptz is null or d.created_at >= $6)
        and ($7::timestamptz is null or d.created_at < $7)
      order by d.id desc
      limit $1 + 1`,
    [limit, after?.[0] ?? null, states, destination, broadcast, since, until],
  );
  const { page, last } = firstPage(found, limit);
  const { rows } = await db.query<DeliveryRow>(
    `select ${deliveryColumns} from deliveries d where d.id = any($1) order by d.id desc`,
    [page.map(({ id }) => id)],
  );
  return { rows, next: last && [last.id] };
}
