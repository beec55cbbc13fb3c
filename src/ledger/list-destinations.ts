import type { Database } from './database.ts';
import { readDestinations } from './read-destinations.ts';
import type { DestinationRow, Page } from './rows.ts';

/** Newest first. `after` is the time and name that the last page ended with: a place that stays when its destination goes. */
export async function listDestinations(
  db: Database,
  { limit, after }: { limit: number; after: string[] | null },
): Promise<Page<DestinationRow>> {
  const { rows } = await db.query<{ at: string; name: string }>(
    `select created_at::text as at, name from destinations
      where $2::timestamptz is null or (created_at, name) < ($2::timestamptz, $3::text)
      order by created_at desc, name desc
      limit $1 + 1`,
    [limit, after?.[0] ?? null, after?.[1] ?? null],
  );
  const page = rows.slice(0, limit);
  const last = rows.length > limit ? page.at(-1) : undefined;
  const found = new Map(
    (
      await readDestinations(
        db,
        page.map(({ name }) => name),
      )
    ).map((row) => [row.name, row]),
  );
  return { rows: page.flatMap(({ name }) => found.get(name) ?? []), next: last ? [last.at, last.name] : null };
}
