import type { Database } from './database.ts';
import { firstPage } from './first-page.ts';
import type { AudienceRow, Page } from './rows.ts';

/** Newest first. `after` is the time and name that the last page ended with: a place that stays when its audience goes. */
export async function listAudiences(
  db: Database,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<AudienceRow>> {
  const { rows } = await db.query<AudienceRow & { at: string; weight: number }>(
    `select name, destinations, created_at, updated_at, created_at::text as at,
            200 + octet_length(destinations::text) as weight
       from audiences
      where $2::timestamptz is null or (created_at, name) < ($2::timestamptz, $3::text)
      order by created_at desc, name desc
      limit $1 + 1`,
    [limit, after?.[0] ?? null, after?.[1] ?? null],
  );
  const { page, last } = firstPage(rows, limit);
  return { rows: page, next: last && [last.at, last.name] };
}
