import type { Database } from './database.ts';

/** The id of the API key that made a broadcast, or that of a delivery; null when there is no such thing. Empty: not recorded. */
export async function findMaker(
  db: Database,
  what: { broadcast: string } | { delivery: string },
): Promise<string | null> {
  const { rows } = await db.query<{ made_by: string }>(
    'broadcast' in what
      ? { name: 'find-maker', text: 'select made_by from broadcasts where id = $1', values: [what.broadcast] }
      : {
          name: 'find-maker-of-delivery',
          text: 'select made_by from broadcasts where id = (select broadcast_id from deliveries where id = $1)',
          values: [what.delivery],
        },
  );
  return rows[0]?.made_by ?? null;
}
