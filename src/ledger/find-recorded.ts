import type { Database } from './database.ts';

/** The broadcast that an idempotency key already belongs to, and whether it was asked for by the same request. */
export async function findRecorded(
  db: Database,
  idempotencyKey: string,
  requestHash: Buffer,
): Promise<{ id: string; same: boolean } | null> {
  const { rows } = await db.query<{ id: string; same: boolean }>(
    'select id, request_hash = $2 as same from broadcasts where idempotency_key = $1',
    [idempotencyKey, requestHash],
  );
  return rows[0] ?? null;
}
