import { configure } from './configure.ts';
import type { Database } from './database.ts';
import type { DestinationRow } from './rows.ts';
import { writeAudience } from './write-audience.ts';
import { type DestinationWrite, writeDestination } from './write-destination.ts';

export interface Declarations {
  destinations: { name: string; compose(before: DestinationRow | null): DestinationWrite }[];
  audiences: { name: string; destinations: string[] }[];
}

/** Makes or replaces everything that was declared, or nothing. What is not named, and what is so already, stays as it is. */
export function applyDeclarations(db: Database, { destinations, audiences }: Declarations): Promise<void> {
  return configure(db, async (client) => {
    for (const { name, compose } of destinations)
      await writeDestination(client, name, compose, { keepUnchanged: true });
    for (const { name, destinations: members } of audiences) await writeAudience(client, name, members);
  });
}
