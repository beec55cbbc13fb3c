import { z } from 'zod';
import type { Page } from '../ledger/rows.ts';
import { invalid } from './problems.ts';

/** Query parameters of every list. */
export const paging = {
  limit: z.coerce.number().int().min(1).max(200).default(50).describe('How many items to answer at most.'),
  cursor: z.string().max(400).optional().describe('`nextCursor` of the page before.'),
};

/** Where a page of things that are sorted by their id begins. */
export function afterId(cursor: string | undefined): string[] | null {
  return decode(cursor, z.tuple([z.string().regex(/^[a-z0-9_]{1,80}$/)]));
}

/** Where a page of named things, which are sorted by their creation, begins. */
export function afterName(cursor: string | undefined): string[] | null {
  return decode(
    cursor,
    z.tuple([z.string().regex(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.\d+:-]{0,20}$/), z.string().max(80)]),
  );
}

export function pageOf<Row, Item>({ rows, next }: Page<Row>, represent: (row: Row) => Item) {
  return { items: rows.map(represent), nextCursor: next && Buffer.from(JSON.stringify(next)).toString('base64url') };
}

export function pageSchema<Item extends z.ZodType>(item: Item) {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() });
}

function decode(cursor: string | undefined, place: z.ZodType<string[]>): string[] | null {
  if (cursor === undefined) return null;
  try {
    return place.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()));
  } catch {
    throw invalid([{ pointer: '', parameter: 'cursor', detail: 'is not a nextCursor that this list has answered' }]);
  }
}
