import { configure } from './configure.ts';
import type { Database } from './database.ts';
import type { DestinationRow } from './rows.ts';
import { type DestinationWrite, type Written, writeDestination } from './write-destination.ts';

/** Makes or replaces one destination. Throws a Refusal for a fallback that cannot be, and whatever `compose` throws. */
export function putDestination(
  db: Database,
  name: string,
  compose: (before: DestinationRow | null) => DestinationWrite,
): Promise<Written> {
  return configure(db, (client) => writeDestination(client, name, compose));
}
