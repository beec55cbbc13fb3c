import type { Database } from './database.ts';
import type { AudienceRow, Page } from './rows.ts';

/** Newest first. `after` is the time and name that the last page ended with: a place that stays when its audience goes. */
export async function listAudiences(
  db: Database,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<AudienceRow>> {
  const { rows } = await db.query<AudienceRow & { at: string }>(
    `select name, destinations, created_at, updated_at, created_at::text as at from audiences
      where $2::timestamptz is null or (created_at, name) < ($2::timestamptz, $3::text)
      order by created_at desc, name desc
      limit $1 + 1`,
    [limit, after?.[0] ?? null, after?.[1] ?? null],
  );
  const page = rows.slice(0, limit);
  const last = rows.length > limit ? page.at(-1) : undefined;
  return { rows: page, next: last ? [last.at, last.name] : null };
}
