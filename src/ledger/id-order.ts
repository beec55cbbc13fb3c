import { type IdPrefix, lowestId } from '../ids.ts';

/** Values of one statement, numbered as they are bound. */
export class Values {
  readonly all: unknown[] = [];
  bind(value: unknown): string {
    return `$${this.all.push(value)}`;
  }
}

/** Ids from `from` on, and below `below`. */
export interface Span {
  from: string;
  below: string;
}

/**
 * How far an id's time may be from the row's `created_at`, in milliseconds: ids are made before rows are recorded, and by the clocks
 * of processes. A list with `since` or `until` misses what a process made whose clock is further off.
 */
const clockMarginMs = 15 * 60_000;

/** Sorts behind every id. */
export const lastId = '~';

/** The ids that may be of this time, and are older than `after`. They are more than those: `created_at` decides exactly. */
export function spanOf(
  prefix: IdPrefix,
  { since, until }: { since: Date | null; until: Date | null },
  after: string | null,
): Span {
  const begun = after ?? lastId;
  const past = until ? lowestId(prefix, until.getTime() + clockMarginMs) : lastId;
  return { from: since ? lowestId(prefix, since.getTime() - clockMarginMs) : '', below: begun < past ? begun : past };
}

/** The conditions of a list's `since` and `until`, exactly. */
export function createdWithin(
  values: Values,
  table: 'b' | 'd',
  { since, until }: { since: Date | null; until: Date | null },
): string[] {
  return [
    ...(since ? [`${table}.created_at >= ${values.bind(since)}`] : []),
    ...(until ? [`${table}.created_at < ${values.bind(until)}`] : []),
  ];
}

export interface Walk {
  /** With its alias. */
  table: 'broadcasts b' | 'deliveries d';
  /** The column of the id. */
  id?: string;
  /** The columns to answer; without it, the id alone. */
  select?: string;
  /** The columns before the id in the index, each with the SQL of its value. */
  prefix?: Record<string, string> | undefined;
  /** Further conditions on the rows, the predicate of the index among them. */
  where?: string[];
  /** SQL of the bounds. */
  span: Span;
  limit: string;
}

/**
 * SQL for the newest ids of a part of a table. Reads them from the end of the one index that begins with these columns and goes on with
 * the id. Equal columns are written as one comparison of rows, for only that index has its order. With equalities the
 * planner may take another index, whose rows it believes to be just as many, and read it to its end.
 */
export function walk({ table, id = 'id', select, prefix = {}, where = [], span, limit }: Walk): string {
  const alias = table.at(-1);
  const columns = [...Object.keys(prefix), id].map((column) => `${alias}.${column}`);
  const bound = (at: string) => `(${[...Object.values(prefix), at].join(', ')})`;
  const row = `(${columns.join(', ')})`;
  const conditions = [`${row} >= ${bound(span.from)}`, `${row} < ${bound(span.below)}`, ...where];
  return `(select ${select ?? `${alias}.${id} as id`} from ${table} where ${conditions.join(' and ')}
            order by ${columns.map((column) => `${column} desc`).join(', ')} limit ${limit})`;
}
