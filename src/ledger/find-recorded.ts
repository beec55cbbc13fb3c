import type { Database } from './database.ts';

export interface Request {
  /** The id of the API key that it came with. */
  madeBy: string;
  idempotencyKey: string;
  requestHash: Buffer;
}

/**
 * The broadcast that an API key's idempotency key already belongs to, and whether it was asked for by the same request. One that was
 * recorded before makers were is found by whoever repeats its very request.
 */
export async function findRecorded(
  db: Database,
  { madeBy, idempotencyKey, requestHash }: Request,
): Promise<{ id: string; same: boolean } | null> {
  const { rows } = await db.query<{ id: string; same: boolean }>(
    `select id, same from ${recordedFor('$1', '$2', '$3')} b`,
    [madeBy, idempotencyKey, requestHash],
  );
  return rows[0] ?? null;
}

/** At most one row: the broadcast's id and `same`. The arguments are SQL; its own broadcast comes before one of an unknown maker. */
export function recordedFor(madeBy: string, idempotencyKey: string, requestHash: string): string {
  return `(select id, request_hash = ${requestHash} as same from broadcasts
    where made_by = any(array[${madeBy}, '']) and idempotency_key = ${idempotencyKey}
      and (made_by = ${madeBy} or request_hash = ${requestHash})
    order by made_by desc limit 1)`;
}
