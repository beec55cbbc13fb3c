import type { Database } from './database.ts';

/** False when there is none. */
export async function removeKey(db: Database, id: string): Promise<boolean> {
  const { rowCount } = await db.query('delete from api_keys where id = $1', [id]);
  return rowCount === 1;
}
