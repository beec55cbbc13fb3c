import { keep } from '../kept.ts';
import type { Database } from '../ledger/database.ts';
import {
  type Resolved,
  type ResolvedAudience,
  type ResolvedDestination,
  resolveDestinations,
} from '../ledger/resolve-destinations.ts';

/** What is kept of destinations, and as much of audiences, in characters of JSON. */
const most = 16 * 1024 * 1024;
/** What an entry costs besides, so that their number is bounded too. */
const entryChars = 512;

/** Destinations and audiences as they were read last. `accept` refuses what has changed since. */
export interface Directory {
  /** What is not known here is looked up each time, and then everything with it. With `fresh`, everything is looked up. */
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
