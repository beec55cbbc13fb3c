import type { Database } from './database.ts';
import type { BroadcastRead } from './read-broadcast.ts';
import { readDeliveriesOf } from './read-deliveries-of.ts';
import { readDestinations } from './read-destinations.ts';
import {
  type BroadcastRow,
  broadcastColumns,
  broadcastsWithMessage,
  type DeliveryRow,
  type DestinationRow,
  deliveryColumns,
} from './rows.ts';

/** Something that people saw change, as it is now. `position` is where to go on behind it. */
export type Change = { position: string } & (
  | { is: 'delivery'; delivery: DeliveryRow }
  | { is: 'broadcast'; broadcast: BroadcastRead }
  | { is: 'destination'; destination: DestinationRow }
);

export interface Changes {
  changes: Change[];
  /** Where to go on. */
  next: string;
  /** True: there is more to be read at once. */
  more: boolean;
  /** True: other transactions are under way, and what was changed since the first of them began is told when that has ended. */
  heldBack: boolean;
}

/**
 * Only what transactions did that began before every one that is still under way. A number says when a transaction began, and not
 * when its changes are seen: one that began earlier may commit later, and would slip in behind a position that was given out already.
 */
const horizon = 'pg_snapshot_xmin(pg_current_snapshot())';

/** A transaction's number and the last of its rows that was told: `7412.dl_…`, or `7412.` before all of them. */
const shape = /^(\d{1,19})\.([a-z0-9_-]{0,80})$/;

export function isPosition(text: string): boolean {
  return shape.test(text);
}

/** Behind everything that has happened. */
export async function presentPosition(db: Database): Promise<string> {
  const { rows } = await db.query<{ horizon: string }>(`select ${horizon}::text as horizon`);
  return `${rows[0]?.horizon}.`;
}

/**
 * What changed behind a position, of everything or of one broadcast, oldest change first, at most `limit`; each thing once, as it is
 * now. Within one transaction deliveries come first, and broadcasts before destinations: who is told that a broadcast has converged
 * has been told how its deliveries ended. Null when this database never gave out the position: it has not come that far.
 */
export async function readChanges(
  db: Database,
  position: string,
  { broadcast = null, limit = 50 }: { broadcast?: string | null; limit?: number } = {},
): Promise<Changes | null> {
  const [, xact = '0', last = ''] = shape.exec(position) ?? [];
  const after = [xact, rankOf(last), last, limit];
  const { rows } = await db.query<Stamp>(
    broadcast === null
      ? { name: 'read-changes', text: ofEverything, values: after }
      : { name: 'read-changes-of', text: ofBroadcast, values: [...after, broadcast] },
  );
  const [first] = rows;
  if (!first?.known) return null;
  const stamps = rows.filter((row): row is Stamp & { id: string } => row.id !== null);
  const more = stamps.length === limit;
  const end = stamps.at(-1);
  return {
    changes: await withRows(db, stamps, first.horizon),
    next: more && end ? positionOf(end) : `${first.horizon}.`,
    more,
    heldBack: first.held_back,
  };
}

interface Stamp {
  horizon: string;
  known: boolean;
  held_back: boolean;
  changed_in: string;
  /** Null in the one row of nothing. */
  id: string | null;
}

const ranks = { delivery: 1, broadcast: 2, destination: 3 };

function rankOf(id: string): number {
  if (id === '') return 0;
  return ranks[id.startsWith('dl_') ? 'delivery' : id.startsWith('bc_') ? 'broadcast' : 'destination'];
}

function positionOf({ changed_in, id }: Stamp & { id: string }): string {
  return `${changed_in}.${id}`;
}

const behind = (rank: number, id: string) =>
  `changed_in >= $1::xid8 and changed_in < ${horizon} and (changed_in, ${rank}, ${id}) > ($1::xid8, $2::int, $3::text)`;

const stamped = (table: string, rank: number, id = 'id') =>
  `(select changed_in, ${rank} as rank, ${id} as id from ${table} where ${behind(rank, id)} order by changed_in, ${id} limit $4)`;

/** Positions are in the order of ids, byte by byte. A database may sort names otherwise. */
const named = 'name collate "C"';

const ofEverything = statement(`
  ${stamped('deliveries', ranks.delivery)} union all
  ${stamped('broadcasts', ranks.broadcast)} union all
  ${stamped('destinations', ranks.destination, named)}`);

// Found as a whole by the broadcast: the index of changes would lead through those of all the others.
const ofBroadcast = statement(`
  select * from (
    select changed_in, ${ranks.delivery} as rank, id from deliveries where broadcast_id = $5 and (role = 'message' or role = 'callback') union all
    select changed_in, ${ranks.broadcast}, id from broadcasts where id = $5 offset 0) its
   where changed_in < ${horizon} and (changed_in, rank, id) > ($1::xid8, $2::int, $3::text)`);

function statement(changes: string): string {
  return `
with changed as (${changes})
select s.horizon::text, s.horizon >= $1::xid8 as known, s.held_back, c.changed_in::text, c.id
  from (select ${horizon} as horizon, ${horizon} < pg_snapshot_xmax(pg_current_snapshot()) as held_back) s
  left join (select * from changed order by changed_in, rank, id limit $4) c on true
 order by c.changed_in, c.rank, c.id`;
}

/**
 * What has changed again since is left out, and told then: otherwise a broadcast that converges just now would be told before the end
 * of its last delivery. What is gone is left out too.
 */
async function withRows(db: Database, stamps: readonly (Stamp & { id: string })[], until: string): Promise<Change[]> {
  const ids = (rank: number) => stamps.flatMap(({ id }) => (rankOf(id) === rank ? [id] : []));
  const deliveries = await readDeliveries(db, ids(ranks.delivery), until);
  const broadcasts = await readBroadcasts(db, ids(ranks.broadcast), until);
  const destinations = await namedDestinations(db, ids(ranks.destination));
  return stamps.flatMap((stamp): Change[] => {
    const position = positionOf(stamp);
    const delivery = deliveries.get(stamp.id);
    if (delivery) return [{ position, is: 'delivery', delivery }];
    const broadcast = broadcasts.get(stamp.id);
    if (broadcast) return [{ position, is: 'broadcast', broadcast }];
    const destination = destinations.get(stamp.id);
    return destination ? [{ position, is: 'destination', destination }] : [];
  });
}

async function readDeliveries(db: Database, ids: string[], until: string): Promise<Map<string, DeliveryRow>> {
  if (ids.length === 0) return new Map();
  const { rows } = await db.query<DeliveryRow>({
    name: 'read-changed-deliveries',
    text: `select ${deliveryColumns} from deliveries d where d.id = any($1) and d.changed_in < $2::xid8`,
    values: [ids, until],
  });
  return new Map(rows.map((row) => [row.id, row]));
}

async function readBroadcasts(db: Database, ids: string[], until: string): Promise<Map<string, BroadcastRead>> {
  if (ids.length === 0) return new Map();
  const { rows } = await db.query<BroadcastRow>({
    name: 'read-changed-broadcasts',
    text: `select ${broadcastColumns} from ${broadcastsWithMessage} where b.id = any($1) and b.changed_in < $2::xid8`,
    values: [ids, until],
  });
  const deliveries = await readDeliveriesOf(db, ids);
  return new Map(rows.map((row) => [row.id, { broadcast: row, deliveries: deliveries.get(row.id) ?? [] }]));
}

async function namedDestinations(db: Database, names: string[]): Promise<Map<string, DestinationRow>> {
  if (names.length === 0) return new Map();
  return new Map((await readDestinations(db, names)).map((row) => [row.name, row]));
}
