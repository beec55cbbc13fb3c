import type { Database } from './database.ts';
import type { KeyRow, Page } from './rows.ts';

/** Newest first. `after` is the id that the last page ended with. */
export async function listKeys(
  db: Database,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<KeyRow>> {
  const { rows } = await db.query<KeyRow>(
    `select id, name, scopes, created_at from api_keys where $2::text is null or id < $2 order by id desc limit $1 + 1`,
    [limit, after?.[0] ?? null],
  );
  const page = rows.slice(0, limit);
  const last = rows.length > limit ? page.at(-1) : undefined;
  return { rows: page, next: last ? [last.id] : null };
}
