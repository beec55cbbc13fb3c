import { type DeliveryState, deliveryStates } from '../delivery/state.ts';
import type { Database } from './database.ts';
import { deliveryBytes, firstPage } from './first-page.ts';
import { createdWithin, spanOf, Values, walk } from './id-order.ts';
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
  filter: DeliveryFilter,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<DeliveryRow>> {
  const { text, values } = search(filter, limit + 1, after?.[0] ?? null);
  const { rows: found } = await db.query<{ id: string; weight: number }>(
    `select its.id, (select ${deliveryBytes} from deliveries d where d.id = its.id) as weight
       from (${text}) its order by its.id desc`,
    values,
  );
  const { page, last } = firstPage(found, limit);
  const { rows } = await db.query<DeliveryRow>(
    `select ${deliveryColumns} from deliveries d where d.id = any($1) order by d.id desc`,
    [page.map(({ id }) => id)],
  );
  return { rows, next: last && [last.id] };
}

/** How the deliveries of a state are found. */
type Path =
  /** By an index of open ones, which has no ids: all of them are read. */
  | { openBy: string }
  /** By an index of those that ended in this state. */
  | 'unconfirmed'
  /** Nearly all are: among all others, by their ids. */
  | 'all';

const due = { openBy: 'due_at is not null' };
const paths: Record<DeliveryState, Path> = {
  pending: due,
  verifying: due,
  retrying: due,
  sending: { openBy: 'lease_until is not null' },
  held: { openBy: 'true' },
  confirmed: 'all',
  dead: 'unconfirmed',
  unknown: 'unconfirmed',
  expired: 'unconfirmed',
  cancelled: 'unconfirmed',
  superseded: 'unconfirmed',
};

const unconfirmed = `state in ('dead', 'unknown', 'expired', 'cancelled', 'superseded')`;
const literal = (state: DeliveryState) => `'${state}'`;

/** The ids that match, newest first, at most `most`: one part for each way to find them, each bounded and in order. */
function search(
  { states, destination, broadcast, since, until }: DeliveryFilter,
  most: number,
  after: string | null,
): { text: string; values: unknown[] } {
  const values = new Values();
  const limit = values.bind(most);
  const bounds = spanOf('dl', { since, until }, after);
  const span = { from: values.bind(bounds.from), below: values.bind(bounds.below) };
  const at = destination === null ? null : values.bind(destination);
  const created = createdWithin(values, 'd', { since, until });
  const wanted = states && deliveryStates.filter((state) => states.includes(state));

  /** The order of ids is looked at outside: the planner might otherwise walk all ids to save the sorting of these. */
  const gather = (where: string[]) => `(
    select id from (select id, created_at from deliveries where ${where.join(' and ')} offset 0) d
     where ${[`id >= ${span.from}`, `id < ${span.below}`, ...created].join(' and ')}
     order by id desc limit ${limit})`;
  const all = (where: string[] = []) =>
    walk({
      table: 'deliveries d',
      ...(at && { prefix: { destination: at } }),
      where: [...created, ...where],
      span,
      limit,
    });
  const ended = (state: DeliveryState) => {
    const prefixes: Record<string, string>[] = at
      ? [{ destination: at, state: literal(state) }]
      : ['message', 'callback'].map((role) => ({ state: literal(state), role: `'${role}'` }));
    return prefixes.map((prefix) =>
      walk({ table: 'deliveries d', prefix, where: [unconfirmed, ...created], span, limit }),
    );
  };
  const partsOf = ([path, its]: [Path, DeliveryState[]]): string[] => {
    const state = `state in (${its.map(literal).join(', ')})`;
    if (path === 'all') return [all([state])];
    if (path === 'unconfirmed') return its.flatMap(ended);
    return [gather([path.openBy, state, ...(at ? [`destination = ${at}`] : [])])];
  };

  let parts: string[];
  if (broadcast !== null) {
    parts = [
      gather([
        `broadcast_id = ${values.bind(broadcast)} and (role = 'message' or role = 'callback')`,
        ...(at ? [`destination = ${at}`] : []),
        ...(wanted ? [`state in (${wanted.map(literal).join(', ')})`] : []),
      ]),
    ];
  } else if (wanted === null || wanted.length === deliveryStates.length) parts = [all()];
  else parts = [...Map.groupBy(wanted, (state) => paths[state])].flatMap(partsOf);
  return {
    text: `select id from (${parts.join(' union all ')}) parts order by id desc limit ${limit}`,
    values: values.all,
  };
}
