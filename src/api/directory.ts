import { keep } from '../kept.ts';
import type { Database } from '../ledger/database.ts';
import {
  type Resolved,
  type ResolvedAudience,
  type ResolvedDestination,
  resolveDestinations,
} from '../ledger/resolve-destinations.ts';

/** The most that is kept of destinations, in characters of JSON. The same holds for audiences. */
const most = 16 * 1024 * 1024;
/** Each entry counts so many characters more. This bounds the number of entries too. */
const entryChars = 512;

/** Destinations and audiences as they were read last. `accept` refuses what has changed since. */
export interface Directory {
  /** Answers from memory when all names are known. Otherwise, and with `fresh`, all of them are read from the database. */
  find(names: string[], audience: string | null, how?: { fresh: boolean }): Promise<Resolved>;
}

export function createDirectory(db: Database, { mostChars = most } = {}): Directory {
  const destinations = keep<ResolvedDestination>(mostChars);
  const audiences = keep<ResolvedAudience>(mostChars);

  function known(names: string[], audienceName: string | null): Resolved | null {
    const audience = audienceName === null ? null : audiences.get(audienceName);
    if (audience === undefined) return null;
    const found = new Map<string, ResolvedDestination>();
    for (const name of audience ? [...names, ...audience.destinations] : names) {
      const destination = destinations.get(name);
      if (!destination) return null;
      found.set(name, destination);
    }
    return { now: null, audience, destinations: found };
  }

  function note(names: string[], audienceName: string | null, { audience, destinations: found }: Resolved): void {
    for (const name of names) if (!found.has(name)) destinations.drop(name);
    for (const [name, destination] of found) destinations.put(name, destination, sizeOf(destination));
    if (audience) audiences.put(audience.name, audience, sizeOf(audience));
    else if (audienceName !== null) audiences.drop(audienceName);
  }

  return {
    async find(names, audience, { fresh } = { fresh: false }) {
      const kept = fresh ? null : known(names, audience);
      if (kept) return kept;
      const found = await resolveDestinations(db, names, audience);
      note(names, audience, found);
      return found;
    },
  };
}

function sizeOf(entry: object): number {
  return JSON.stringify(entry).length + entryChars;
}
