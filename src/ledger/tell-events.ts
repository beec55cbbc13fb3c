import type { Database } from './database.ts';
import { readDeliveriesOf } from './read-deliveries-of.ts';
import { type RepresentedBroadcast, representBroadcast } from './represent.ts';
import { type BroadcastRow, broadcastColumns, broadcastsWithMessage, type StoredEvent } from './rows.ts';

/** What a callback posts: what happened, and the broadcast as it is now. */
export interface ToldEvent {
  type: string;
  timestamp: string;
  /** The broadcast's revision when it happened. */
  revision?: number;
  deliveryId?: string;
  data: unknown;
}

/**
 * What these events tell at this moment, in the same order; null where the broadcast is gone. An event is recorded without its broadcast, which is read here: stored with
 * each of its events, a broadcast with hundreds of deliveries would be written hundreds of times over.
 */
export async function tellEvents(
  db: Database,
  events: readonly { broadcastId: string; event: StoredEvent }[],
): Promise<(ToldEvent | null)[]> {
  const ids = [
    ...new Set(events.filter(({ event }) => event.data === undefined).map(({ broadcastId }) => broadcastId)),
  ];
  const broadcasts = await read(db, ids);
  return events.map(({ broadcastId, event }) => {
    const { verdict, data, ...happened } = event;
    // Recorded by an older version, whole.
    if (data !== undefined) return { ...happened, data };
    const broadcast = broadcasts.get(broadcastId);
    return broadcast ? { ...happened, data: { ...broadcast, ...verdict } } : null;
  });
}

async function read(db: Database, ids: string[]): Promise<Map<string, RepresentedBroadcast>> {
  if (ids.length === 0) return new Map();
  const { rows } = await db.query<BroadcastRow>({
    name: 'read-broadcasts-to-tell',
    text: `select ${broadcastColumns} from ${broadcastsWithMessage} where b.id = any($1)`,
    values: [ids],
  });
  const deliveries = await readDeliveriesOf(db, ids);
  return new Map(rows.map((row) => [row.id, representBroadcast(row, deliveries.get(row.id) ?? [])]));
}
