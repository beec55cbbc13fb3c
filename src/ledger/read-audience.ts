import type { Database } from './database.ts';
import type { AudienceRow } from './rows.ts';

export async function readAudience(db: Database, name: string): Promise<AudienceRow | null> {
  const { rows } = await db.query<AudienceRow>(
    'select name, destinations, created_at, updated_at from audiences where name = $1',
    [name],
  );
  return rows[0] ?? null;
}
