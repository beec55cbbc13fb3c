import type { Database } from './database.ts';

/** The sealed secrets of every destination. */
export async function readSealed(db: Database): Promise<{ name: string; secrets: Buffer }[]> {
  const { rows } = await db.query<{ name: string; secrets: Buffer }>(
    'select name, secrets from destinations order by name',
  );
  return rows;
}
