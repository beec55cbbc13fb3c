import { z } from 'zod';
import type { Page } from '../ledger/rows.ts';
import { invalid } from './problems.ts';

/** Query parameters of every list. */
export const paging = {
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(200)
    .default(50)
    .describe(
      'How many items to answer at most. A page may have fewer, because it ends after about two megabytes: it is the last one when ' +
        '`nextCursor` is null.',
    ),
  cursor: z.string().max(400).optional().describe('`nextCursor` of the page before.'),
};

/** A list, as its cursors name it: the same place means something else in another one. */
export type List = 'broadcasts' | 'deliveries' | 'destinations' | 'audiences' | 'keys';

const Id = z.tuple([z.string().regex(/^[a-z0-9_]{1,80}$/)]);
const Named = z.tuple([z.string().regex(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d+:-]{0,20}$/), z.string().max(80)]);

/** Where a page of things that are sorted by their id begins. */
export function afterId(list: List, cursor: string | undefined): string[] | null {
  return decode(list, cursor, Id);
}

/** Where a page of named things, which are sorted by their creation, begins. */
export function afterName(list: List, cursor: string | undefined): string[] | null {
  return decode(list, cursor, Named);
}

export function pageOf<Row, Item>(list: List, { rows, next }: Page<Row>, represent: (row: Row) => Item) {
  const nextCursor = next && Buffer.from(JSON.stringify([list, ...next])).toString('base64url');
  return { items: rows.map(represent), nextCursor };
}

export function pageSchema<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() });
}

function decode(list: List, cursor: string | undefined, place: z.ZodType<string[]>): string[] | null {
  if (cursor === undefined) return null;
  const detail = `is not a nextCursor of GET /${list}: pass on what its last page answered, or leave it out to begin anew`;
  try {
    const [of, ...rest] = z.array(z.string()).parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()));
    if (of === list) return place.parse(rest);
  } catch {
    // Neither is what no list of ours has made.
  }
  throw invalid([{ pointer: '', parameter: 'cursor', detail }]);
}
