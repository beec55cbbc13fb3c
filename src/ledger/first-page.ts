/** A page ends with the row that brings it past this, in bytes as JSON: making and parsing more would hold everything else up. */
export const pageBytes = 2_000_000;

/**
 * The rows that make a page: at most `limit`, and none after the one that brings it past `pageBytes`. `found` has one more than `limit`
 * where there are more; `last` is the row that the next page begins behind, null where there is none.
 */
export function firstPage<Row extends { weight: number }>(
  found: readonly Row[],
  limit: number,
): { page: Row[]; last: Row | null } {
  const page: Row[] = [];
  let bytes = 0;
  for (const row of found.slice(0, limit)) {
    page.push(row);
    bytes += row.weight;
    if (bytes >= pageBytes) break;
  }
  return { page, last: page.length < found.length ? (page.at(-1) ?? null) : null };
}

/** About what a delivery takes as JSON, in SQL. */
export const deliveryBytes = `700 + coalesce(octet_length(d.receipt::text), 0) + coalesce(octet_length(d.last_error::text), 0)`;
