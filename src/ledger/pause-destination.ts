import type { Database } from './database.ts';

/** Nothing more is sent there until it is resumed. Without a reason that of an earlier pause stands. False when there is no such destination. */
export async function pauseDestination(db: Database, name: string, reason: string | null): Promise<boolean> {
  const { rowCount } = await db.query(
    `update destinations set paused_at = coalesce(paused_at, now()), pause_reason = coalesce($2, pause_reason, 'by hand'), updated_at = now() where name = $1`,
    [name, reason],
  );
  return rowCount === 1;
}
