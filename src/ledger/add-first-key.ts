import { type Database, transaction } from './database.ts';
import type { KeyRow } from './rows.ts';

/** Any constant will do, as long as every Tocsin uses the same one. */
const lockKey = 7_062_028;

/** Adds the key unless there is one already; true when it did. Of racing starters, one does. */
export function addFirstKey(db: Database, key: Omit<KeyRow, 'created_at'> & { hash: Buffer }): Promise<boolean> {
  return transaction(db, async (client) => {
    await client.query('select pg_advisory_xact_lock($1)', [lockKey]);
    const { rowCount } = await client.query(
      `insert into api_keys (id, name, hash, scopes)
       select $1, $2, $3, $4 where not exists (select from api_keys)`,
      [key.id, key.name, key.hash, key.scopes],
    );
    return rowCount === 1;
  });
}
