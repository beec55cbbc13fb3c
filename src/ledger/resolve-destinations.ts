import type { Database } from './database.ts';

export interface Resolved {
  /** The database's clock. */
  now: Date;
  /** The audience's members in their order, or null when there is no such audience. */
  audience: string[] | null;
  /** Those that exist, by name. */
  destinations: Map<string, ResolvedDestination>;
}

export interface ResolvedDestination {
  name: string;
  kind: string;
  settings: Record<string, unknown>;
  required: boolean;
  maxAttempts: number;
}

/** Looks up all that a broadcast names, in one statement. */
export async function resolveDestinations(db: Database, names: string[], audience: string | null): Promise<Resolved> {
  const { rows } = await db.query<{ now: Date; audience: string[] | null; found: ResolvedDestination[] }>({
    name: 'resolve-destinations',
    text: `with audience as materialized (select destinations from audiences where name = $2)
      select now() as now,
             (select destinations from audience) as audience,
             (select coalesce(jsonb_agg(jsonb_build_object('name', name, 'kind', kind, 'settings', settings, 'required', required,
                                                           'maxAttempts', (policy ->> 'maxAttempts')::int)), '[]')
                from destinations
               where name = any($1::text[] || coalesce((select destinations from audience), '{}'))) as found`,
    values: [names, audience],
  });
  const [row] = rows;
  return {
    now: row?.now ?? new Date(),
    audience: row?.audience ?? null,
    destinations: new Map(row?.found.map((destination) => [destination.name, destination])),
  };
}
