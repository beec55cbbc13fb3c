import type pg from 'pg';
import type { Database } from './database.ts';
import { openAt } from './open-at.ts';
import { type DestinationRow, destinationColumns } from './rows.ts';

/** The destinations of these names, as far as they exist. */
export async function readDestinations(db: Database | pg.PoolClient, names: string[]): Promise<DestinationRow[]> {
  const { rows } = await db.query<DestinationRow>(
    `select ${destinationColumns},
            coalesce((select jsonb_object_agg(o.state, o.n)
                        from (select state, count(*)::int as n from ${openAt('t.name', 'state')} d group by state) o), '{}') as open
       from destinations t
      where t.name = any($1)
      order by t.name`,
    [names],
  );
  return rows;
}
