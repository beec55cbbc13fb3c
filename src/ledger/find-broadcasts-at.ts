import { lowestId, timeOfId } from '../ids.ts';
import type { Database } from './database.ts';
import { lastId, type Span, Values, walk } from './id-order.ts';

/** A broadcast and its first deliveries get their ids in the same moment, by one clock. More than such a moment ever takes, in milliseconds. */
const momentMs = 10_000;
/** Of so few deliveries, all broadcasts are read. */
const few = 100;

/** All broadcasts that went to a destination, in no order; null where those are many. */
export async function broadcastsAt(db: Database, destination: string): Promise<string[] | null> {
  const values = new Values();
  const its = walk({
    table: 'deliveries d',
    select: 'd.role, d.broadcast_id as id',
    prefix: { destination: values.bind(destination) },
    span: { from: values.bind(''), below: values.bind(lastId) },
    limit: values.bind(few),
  });
  const { rows } = await db.query<{ role: string; id: string }>(its, values.all);
  return rows.length < few ? rows.flatMap(({ role, id }) => (role === 'message' ? [id] : [])) : null;
}

/**
 * The newest broadcasts within `span` that went to a destination, newest first, at most `most`. No index has a destination's deliveries in
 * the order of their broadcasts, but the order of their own ids is nearly the same. Escalations, which come later, have an index of their own.
 */
export async function findBroadcastsAt(
  db: Database,
  destination: string,
  { span, most, matching }: { span: Span; most: number; matching: (values: Values) => string[] },
): Promise<{ id: string }[]> {
  const near = await newest();
  const oldest = near.length < most ? undefined : near.at(-1)?.delivery;
  const rest = oldest === undefined ? [] : await momentBefore(oldest);
  const ids = [...near, ...rest, ...(await escalations())].map(({ id }) => id);
  return ids
    .sort((a, b) => (a < b ? 1 : -1))
    .slice(0, most)
    .map((id) => ({ id }));

  function within(values: Values): string[] {
    const bounds = `broadcast_id >= ${values.bind(span.from)} and broadcast_id < ${values.bind(span.below)}`;
    const conditions = matching(values);
    if (conditions.length === 0) return [bounds];
    const matches = `exists (select from broadcasts b where b.id = d.broadcast_id and ${conditions.join(' and ')} offset 0)`;
    return [bounds, matches];
  }

  async function newest() {
    const values = new Values();
    const its = walk({
      table: 'deliveries d',
      select: 'd.id as delivery, d.broadcast_id as id',
      prefix: { destination: values.bind(destination) },
      where: original(values),
      span: { from: values.bind(boundOf(span.from, 0)), below: values.bind(boundOf(span.below, momentMs)) },
      limit: values.bind(most),
    });
    return (await db.query<{ id: string; delivery: string }>(its, values.all)).rows;
  }

  /** A slightly older delivery may belong to a younger broadcast. */
  async function momentBefore(delivery: string) {
    const values = new Values();
    const bounds = `id >= ${values.bind(boundOf(delivery, -momentMs))} and id < ${values.bind(delivery)}`;
    const { rows } = await db.query<{ id: string }>(
      `select d.broadcast_id as id
         from (select * from deliveries where destination = ${values.bind(destination)} and ${bounds} offset 0) d
        where ${original(values).join(' and ')}`,
      values.all,
    );
    return rows;
  }

  function original(values: Values): string[] {
    return [`d.role = 'message'`, 'd.escalated_from is null', ...within(values)];
  }

  async function escalations() {
    const values = new Values();
    const its = walk({
      table: 'deliveries d',
      id: 'broadcast_id',
      prefix: { destination: values.bind(destination) },
      where: ['escalated_from is not null', ...within(values)],
      span: { from: values.bind(span.from), below: values.bind(span.below) },
      limit: values.bind(most),
    });
    const { rows } = await db.query<{ id: string }>(its, values.all);
    return rows;
  }
}

/** The bound of deliveries' ids that is so far from the time of this id; what is no id of ours bounds nothing. */
function boundOf(id: string, ms: number): string {
  const time = timeOfId(id);
  return time === null ? id : lowestId('dl', time + ms);
}
