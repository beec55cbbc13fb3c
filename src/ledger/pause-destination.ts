import type { Database } from './database.ts';

/** Nothing more is sent there until it is resumed. False when there is no such destination. */
export async function pauseDestination(db: Database, name: string, reason: string): Promise<boolean> {
  const { rowCount } = await db.query(
    `update destinations set paused_at = coalesce(paused_at, now()), pause_reason = $2, updated_at = now() where name = $1`,
    [name, reason],
  );
  return rowCount === 1;
}
