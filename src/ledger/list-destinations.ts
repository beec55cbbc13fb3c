import type { Database } from './database.ts';
import { firstPage } from './first-page.ts';
import { readDestinations } from './read-destinations.ts';
import type { DestinationRow, Page } from './rows.ts';

/** Newest first. `after` is the time and name that the last page ended with: a place that stays when its destination goes. */
export async function listDestinations(
  db: Database,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<DestinationRow>> {
  const { rows } = await db.query<{ at: string; name: string; weight: number }>(
    `select created_at::text as at, name, 1000 + octet_length(settings::text) as weight from destinations
      where $2::timestamptz is null or (created_at, name) < ($2::timestamptz, $3::text)
      order by created_at desc, name desc
      limit $1 + 1`,
    [limit, after?.[0] ?? null, after?.[1] ?? null],
  );
  const { page, last } = firstPage(rows, limit);
  const found = new Map(
    (
      await readDestinations(
        db,
        page.map(({ name }) => name),
      )
    ).map((row) => [row.name, row]),
  );
  return { rows: page.flatMap(({ name }) => found.get(name) ?? []), next: last && [last.at, last.name] };
}
