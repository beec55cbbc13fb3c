import type { Database } from './database.ts';

/** False when there is none. Broadcasts that were sent to it keep their deliveries. */
export async function removeAudience(db: Database, name: string): Promise<boolean> {
  const { rowCount } = await db.query('delete from audiences where name = $1', [name]);
  return rowCount === 1;
}
