import type { Database } from './database.ts';
import type { KeyRow } from './rows.ts';

export async function addKey(db: Database, key: Omit<KeyRow, 'created_at'> & { hash: Buffer }): Promise<KeyRow> {
  const { rows } = await db.query<KeyRow>(
    'insert into api_keys (id, name, hash, scopes) values ($1, $2, $3, $4) returning id, name, scopes, created_at',
    [key.id, key.name, key.hash, key.scopes],
  );
  return rows[0] as KeyRow;
}
