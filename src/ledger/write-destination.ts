import type pg from 'pg';
import type { Policy } from '../policy.ts';
import { readDestinations } from './read-destinations.ts';
import { Refusal } from './refusal.ts';
import { release } from './release.ts';
import type { DestinationRow } from './rows.ts';

export interface DestinationWrite {
  kind: string;
  settings: Record<string, unknown>;
  /** Sealed. */
  secrets: Buffer;
  policy: Policy;
  required: boolean;
  fallback: string | null;
  budget: string | null;
}

/**
 * Makes or replaces a destination from what it was, which `compose` gets: it decides what is kept. Whoever replaces one has
 * mended it as far as we can know, so that its breaker closes and what waited for it goes on; a pause stays.
 */
export async function writeDestination(
  client: pg.PoolClient,
  name: string,
  compose: (before: DestinationRow | null) => DestinationWrite,
): Promise<'created' | 'replaced'> {
  const [before] = await readDestinations(client, [name]);
  const { kind, settings, secrets, policy, required, fallback, budget } = compose(before ?? null);
  // The table says so too, but could not say it as kindly.
  if (fallback === name) throw new Refusal('fallback_cycle', [name], `${name} cannot be its own fallback.`);
  await client.query(
    `insert into destinations (name, kind, settings, secrets, policy, required, fallback, budget)
     values ($1, $2, $3, $4, $5, $6, $7, $8)
     on conflict (name) do update
        set kind = excluded.kind, settings = excluded.settings, secrets = excluded.secrets, policy = excluded.policy,
            required = excluded.required, fallback = excluded.fallback, budget = excluded.budget,
            faults = 0, breaker_until = null, breaker_trips = 0, probe = null, updated_at = now()`,
    [name, kind, JSON.stringify(settings), secrets, JSON.stringify(policy), required, fallback, budget],
  );
  if (!before) return 'created';
  await release(client, { destination: name, hold: 'breaker' });
  return 'replaced';
}
