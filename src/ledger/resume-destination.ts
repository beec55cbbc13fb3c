import { type Database, transaction } from './database.ts';
import { release } from './release.ts';

/** Ends the pause and lets what waited go on. False when there is no such destination. */
export function resumeDestination(db: Database, name: string): Promise<boolean> {
  return transaction(db, async (client) => {
    const { rowCount } = await client.query(
      'update destinations set paused_at = null, pause_reason = null, updated_at = now() where name = $1',
      [name],
    );
    if (rowCount !== 1) return false;
    await release(client, { destination: name, hold: 'paused' });
    return true;
  });
}
