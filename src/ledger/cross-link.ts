import type { PoolClient } from 'pg';
import { storable } from './database.ts';
import type { StoredBroadcast, StoredDelivery } from './rows.ts';
import { writeDeliveries } from './write-deliveries.ts';

/** Where people talk about an incident, and will look for its other places. */
const chatKinds = ['slack', 'teams'];

/**
 * When a broadcast that asked for cross-links is about to converge, and its copies have permalinks that the chat copies do not show
 * yet: gives it one more revision of the same text, which only those copies are to be edited to. Answers the deliveries as they now
 * are, or null when there is nothing to add. Each permalink causes this at most once, and a copy at most twice, so that it ends: some
 * services give a message another permalink with every edit.
 */
export async function crossLink(
  client: PoolClient,
  broadcast: StoredBroadcast,
  copies: readonly StoredDelivery[],
  now: Date,
): Promise<{ broadcast: StoredBroadcast; changed: StoredDelivery[] } | null> {
  if (!broadcast.cross_link || broadcast.retracted) return null;
  const linked = copies.filter(({ confirmed, receipt }) => confirmed > 0 && receipt?.url);
  const urls = linked.map(({ receipt }) => storable(receipt?.url as string)).sort();
  if (urls.every((url) => broadcast.linked.includes(url))) return null;
  const known = [...new Set([...broadcast.linked, ...urls])];
  if (known.length > 2 * copies.length) return null;
  const chats = copies.filter(
    (copy) => copy.state === 'confirmed' && chatKinds.includes(copy.kind) && linked.some(({ id }) => id !== copy.id),
  );
  if (chats.length === 0) return null;

  const revision = broadcast.revision + 1;
  await client.query({
    name: 'add-revision',
    text: 'insert into revisions (broadcast_id, revision, message) values ($1, $2, $3)',
    values: [broadcast.id, revision, broadcast.message],
  });
  await client.query({
    name: 'link-broadcast',
    text: 'update broadcasts set revision = $2, linked = $3 where id = $1',
    values: [broadcast.id, revision, known],
  });
  const changed = chats.map(
    (copy): StoredDelivery => ({
      ...copy,
      state: 'pending',
      desired: revision,
      linking: true,
      attempt: 0,
      uncounted: 0,
      due_at: now,
      updated_at: now,
      ended_at: null,
    }),
  );
  await writeDeliveries(client, changed);
  return { broadcast: { ...broadcast, revision, linked: known }, changed };
}

/** The message is there, only its links could not be added: that is no failure of the delivery, and not tried for ever. */
export function forgiveLinking(row: StoredDelivery): StoredDelivery {
  if (!row.linking || row.ended_at === null) return row;
  return { ...row, state: 'confirmed', desired: Math.max(row.confirmed, 1), linking: false };
}
