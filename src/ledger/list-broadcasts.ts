import type { BroadcastState } from '../delivery/state.ts';
import { severities as allSeverities, type Severity } from '../message.ts';
import type { Database } from './database.ts';
import { broadcastsAt, findBroadcastsAt } from './find-broadcasts-at.ts';
import { deliveryBytes, firstPage } from './first-page.ts';
import { createdWithin, type Span, spanOf, Values, type Walk, walk } from './id-order.ts';
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
  filter: BroadcastFilter,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<BroadcastRead>> {
  const matching = await search(db, filter, spanOf('bc', filter, after?.[0] ?? null), limit + 1);
  const { rows: found } = await db.query<{ id: string; weight: number }>(
    `select b.id, octet_length(r.message::text) + octet_length(b.metadata::text) +
            coalesce((select sum(${deliveryBytes}) from deliveries d where d.broadcast_id = b.id and d.role = 'message'), 0)::int as weight
       from ${broadcastsWithMessage} where b.id = any($1) order by b.id desc`,
    [matching.map(({ id }) => id)],
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

/** The ids that match, newest first, at most `most`. */
async function search(db: Database, filter: BroadcastFilter, span: Span, most: number): Promise<{ id: string }[]> {
  const { topic, destination, states, severities } = filter;
  const parts = partsOf(topic, states, severities);
  const few = destination === null ? null : await broadcastsAt(db, destination);
  if (destination !== null && !few && parts.some(({ prefix }) => !prefix)) {
    return findBroadcastsAt(db, destination, { span, most, matching: (values) => conditions(values, filter) });
  }
  const values = new Values();
  const limit = values.bind(most);
  const bounds = { from: values.bind(span.from), below: values.bind(span.below) };
  const matching = conditions(values, filter);
  let found: string;
  if (few) {
    if (topic !== null) matching.push(`b.topic = ${values.bind(topic)}`);
    const within = [`id >= ${bounds.from}`, `id < ${bounds.below}`, ...matching].join(' and ');
    found = `select id from (select * from broadcasts where id = any(${values.bind(few)}) offset 0) b where ${within}`;
  } else {
    if (destination !== null) matching.push(`exists (${deliveryTo(values.bind(destination))})`);
    // A topic is anything that clients write: never part of the text.
    const its = (prefix: Part['prefix']) => prefix && (topic === null ? prefix : { topic: values.bind(topic) });
    const walks = parts.map(({ prefix, where }) =>
      walk({ table: 'broadcasts b', prefix: its(prefix), where: [...where, ...matching], span: bounds, limit }),
    );
    found = walks.join(' union all ');
  }
  const { rows } = await db.query<{ id: string }>(
    `select id from (${found}) parts order by id desc limit ${limit}`,
    values.all,
  );
  return rows;
}

const deliveryTo = (destination: string) =>
  `select from deliveries d where d.broadcast_id = b.id and d.destination = ${destination} and d.role = 'message' offset 0`;

/** The conditions on every row, whichever index finds it. Topic and destination are conditions of the index. */
function conditions(values: Values, { states, severities, since, until }: BroadcastFilter): string[] {
  return [
    ...(states === null ? [] : [`b.state = any(${values.bind(states)})`]),
    ...(severities === null ? [] : [`b.severity = any(${values.bind(severities)})`]),
    ...createdWithin(values, 'b', { since, until }),
  ];
}

/** Broadcasts that one index has in the order of their ids; all of them without a `prefix`. */
type Part = Pick<Walk, 'prefix'> & { where: string[] };

/**
 * The ways to find what matches. Delivered broadcasts, and those that only inform, are most, and have no index of their own. The others
 * of a state are few, or soon delivered.
 */
function partsOf(topic: string | null, states: BroadcastState[] | null, severities: Severity[] | null): Part[] {
  if (topic !== null) return [{ prefix: { topic }, where: ['topic is not null'] }];
  const among = [...new Set(severities ?? allSeverities)];
  const ofState = (state: BroadcastState | null): Part[] => {
    if (state !== null && state !== 'delivered') {
      return among.map((severity) => ({
        prefix: { state: `'${state}'`, severity: `'${severity}'` },
        where: [`state <> 'delivered'`],
      }));
    }
    const its = state === null ? [] : [`state = '${state}'`];
    if (severities === null) return [{ where: its }];
    return among.map((severity) =>
      severity === 'info'
        ? { where: [...its, `severity = 'info'`] }
        : { prefix: { severity: `'${severity}'` }, where: [...its, `severity <> 'info'`] },
    );
  };
  return states === null ? ofState(null) : [...new Set(states)].flatMap(ofState);
}
