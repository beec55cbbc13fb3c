import type { Database } from './database.ts';
import type { KeyRow } from './rows.ts';

/** The key of this SHA-256, or null. The index compares hashes, whose timing tells nothing about a key. */
export async function findKey(db: Database, hash: Buffer): Promise<KeyRow | null> {
  const { rows } = await db.query<KeyRow>({
    name: 'find-key',
    text: 'select id, name, scopes, created_at from api_keys where hash = $1',
    values: [hash],
  });
  return rows[0] ?? null;
}
