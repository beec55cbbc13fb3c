import type { BroadcastState } from '../delivery/state.ts';
import type { Severity } from '../message.ts';
import type { Database } from './database.ts';
import { deliveryBytes, firstPage } from './first-page.ts';
import type { BroadcastRead } from './read-broadcast.ts';
import { readDeliveriesOf } from './read-deliveries-of.ts';
import { type BroadcastRow, broadcastColumns, broadcastsWithMessage, type Page } from './rows.ts';

export interface BroadcastFilter {
  states: BroadcastState[] | null;
  topic: string | null;
  destination: string | null;
  severities: Severity[] | null;
  /** Created at or after. */
  since: Date | null;
  /** Created before. */
  until: Date | null;
}

/** Newest first. `after` is the id that the last page ended with. */
export async function listBroadcasts(
  db: Database,
  { states, topic, destination, severities, since, until }: BroadcastFilter,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<BroadcastRead>> {
  const { rows: found } = await db.query<{ id: string; weight: number }>(
    `select its.id, weight.bytes as weight from (
       select b.id, octet_length(r.message::text) + octet_length(b.metadata::text) as text from ${broadcastsWithMessage}
        where ($2::text is null or b.id < $2)
          and ($3::text[] is null or b.state = any($3))
          and ($4::text is null or b.topic = $4)
          and ($5::text is null or exists (select from deliveries d where d.broadcast_id = b.id and d.destination = $5))
          and ($6::text[] is null or b.severity = any($6))
          and ($7::timestamptz is null or b.created_at >= $7)
          and ($8::timestamptz is null or b.created_at < $8)
        order by b.id desc
        limit $1 + 1) its
      cross join lateral (
        select its.text + coalesce(sum(${deliveryBytes}), 0)::int as bytes from deliveries d where d.broadcast_id = its.id) weight
      order by its.id desc`,
    [limit, after?.[0] ?? null, states, topic, destination, severities, since, until],
  );
  const { page, last } = firstPage(found, limit);
  const ids = page.map(({ id }) => id);
  const { rows } = await db.query<BroadcastRow>(
    `select ${broadcastColumns} from ${broadcastsWithMessage} where b.id = any($1) order by b.id desc`,
    [ids],
  );
  const deliveries = await readDeliveriesOf(db, ids);
  return {
    rows: rows.map((broadcast) => ({ broadcast, deliveries: deliveries.get(broadcast.id) ?? [] })),
    next: last && [last.id],
  };
}
