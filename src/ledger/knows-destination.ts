import type { Database } from './database.ts';

/** True for a destination that exists, and for one that is gone but has deliveries to show for it; for callbacks' hosts too. */
export async function knowsDestination(db: Database, name: string): Promise<boolean> {
  const { rows } = await db.query<{ known: boolean }>(
    `select exists (select from destinations where name = $1) or exists (select from deliveries where destination = $1) as known`,
    [name],
  );
  return rows[0]?.known === true;
}
