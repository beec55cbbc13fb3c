import type pg from 'pg';

/** Makes or replaces an audience, within a change that `configure` checks. One that is so already is left alone. */
export async function writeAudience(
  client: pg.PoolClient,
  name: string,
  destinations: string[],
): Promise<'created' | 'replaced'> {
  const { rows } = await client.query<{ created: boolean }>(
    `insert into audiences (name, destinations) values ($1, $2)
     on conflict (name) do update set destinations = excluded.destinations, updated_at = now()
       where audiences.destinations <> excluded.destinations
     returning xmax = 0 as created`,
    [name, destinations],
  );
  return rows[0]?.created ? 'created' : 'replaced';
}
