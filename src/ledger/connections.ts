import type { Database } from './database.ts';

export interface Connections {
  /** What the server lets ordinary accounts have, over all. */
  most: number;
  /** What is taken now, by whomever. */
  taken: number;
}

export async function countConnections(db: Database): Promise<Connections> {
  const { rows } = await db.query<Connections>(
    `select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
              - coalesce(current_setting('reserved_connections', true)::int, 0) as most,
            (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as taken`,
  );
  return rows[0] as Connections;
}
