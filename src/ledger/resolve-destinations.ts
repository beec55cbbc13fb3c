import type { Database } from './database.ts';

export interface Resolved {
  /** The database's clock when it was asked; null where nothing had to be asked. */
  now: Date | null;
  /** Null when there is no such audience. */
  audience: ResolvedAudience | null;
  /** Those that exist, by name. */
  destinations: Map<string, ResolvedDestination>;
}

export interface ResolvedAudience {
  name: string;
  version: number;
  /** Its members in their order. */
  destinations: string[];
}

export interface ResolvedDestination {
  name: string;
  version: number;
  kind: string;
  settings: Record<string, unknown>;
  required: boolean;
  maxAttempts: number;
}

interface Row {
  now: Date;
  audience: ResolvedAudience | null;
  found: ResolvedDestination[];
}

/** Looks up all that a broadcast names, in one statement. */
export async function resolveDestinations(db: Database, names: string[], audience: string | null): Promise<Resolved> {
  const { rows } = await db.query<Row>({
    name: 'resolve-destinations',
    text: `with audience as materialized (select name, version, destinations from audiences where name = $2)
      select now() as now,
             (select jsonb_build_object('name', name, 'version', version, 'destinations', destinations) from audience) as audience,
             (select coalesce(jsonb_agg(jsonb_build_object('name', name, 'version', version, 'kind', kind, 'settings', settings,
                                                           'required', required, 'maxAttempts', (policy ->> 'maxAttempts')::int)), '[]')
                from destinations
               where name = any($1::text[] || coalesce((select destinations from audience), '{}'))) as found`,
    values: [names, audience],
  });
  const [row] = rows as [Row];
  return {
    now: row.now,
    audience: row.audience,
    destinations: new Map(row.found.map((destination) => [destination.name, destination])),
  };
}
