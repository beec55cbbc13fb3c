import type { Database } from './database.ts';

/** Resolves when the database answers. */
export async function reach(db: Database): Promise<void> {
  await db.query('select 1');
}
