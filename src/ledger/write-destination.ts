import { isDeepStrictEqual } from 'node:util';
import type pg from 'pg';
import type { Policy } from '../policy.ts';
import { looksOf, ownBudget } from './budget.ts';
import { notifyDue } from './due.ts';
import { readDestinations } from './read-destinations.ts';
import { openDeliveries, Refusal } from './refusal.ts';
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
  /** Where a lost message would be looked for; null where the kind cannot look. */
  place: Record<string, string> | null;
}

export type Written = 'created' | 'replaced' | 'unchanged';

/**
 * Makes or replaces a destination from what it was, which `compose` gets: it decides what is kept. Whoever replaces one has
 * mended it as far as we can know, so that its breaker closes and what waited for it goes on; a pause stays. With `keepUnchanged` one
 * that is already as composed is left alone altogether: who declares the same again at every start has mended nothing.
 */
export async function writeDestination(
  client: pg.PoolClient,
  name: string,
  compose: (before: DestinationRow | null) => DestinationWrite,
  { keepUnchanged = false } = {},
): Promise<Written> {
  const [before] = await readDestinations(client, [name]);
  const write = compose(before ?? null);
  if (keepUnchanged && before && isSame(before, write)) return 'unchanged';
  const { kind, settings, secrets, policy, required, fallback, budget, place } = write;
  // The table says so too, but could not say it as kindly.
  if (fallback === name) throw new Refusal('fallback_cycle', [name], `${name} cannot be its own fallback.`);
  if (before && before.kind !== kind) refuseWhileOpen(before, kind);
  await client.query(
    `insert into destinations (name, kind, settings, secrets, policy, required, fallback, budget, place)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     on conflict (name) do update
        set kind = excluded.kind, settings = excluded.settings, secrets = excluded.secrets, policy = excluded.policy,
            required = excluded.required, fallback = excluded.fallback, budget = excluded.budget, place = excluded.place,
            faults = 0, breaker_until = null, breaker_trips = 0, probe = null, updated_at = now()`,
    [
      name,
      kind,
      JSON.stringify(settings),
      secrets,
      JSON.stringify(policy),
      required,
      fallback,
      budget,
      place && JSON.stringify(place),
    ],
  );
  // Its own limit was another place's, or that of a mended one.
  await client.query(`delete from budgets where budget in (${ownBudget('$1')}, ${ownBudget('$1')} || '${looksOf}')`, [
    name,
  ]);
  if (!before) return 'created';
  await release(client, { destination: name, hold: 'breaker' });
  // What a limit of the old credential put off may go now.
  await notifyDue(client, [name]);
  return 'replaced';
}

/** What is open was made for the kind of before: its text, its receipt and its doubts mean nothing to another one. */
function refuseWhileOpen({ name, kind, open }: DestinationRow, wanted: string): void {
  const count = Object.values(open).reduce((sum, n) => sum + n, 0);
  if (count === 0) return;
  throw new Refusal(
    'in_use',
    [name],
    `${openDeliveries(count, name)} and of kind ${kind}: let them end, or cancel them, before you make it ${wanted}; ` +
      'or give the new destination another name.',
  );
}

/** Whether storing it would change nothing. Sealed secrets are the same only if they were not sealed anew. */
function isSame(before: DestinationRow, { secrets, settings, policy, ...rest }: DestinationWrite): boolean {
  const { kind, required, fallback, budget, place } = before;
  // As jsonb gives it back: without what is undefined.
  const stored = JSON.parse(JSON.stringify({ settings, policy }));
  return (
    before.secrets.equals(secrets) &&
    isDeepStrictEqual({ kind, required, fallback, budget, place }, rest) &&
    isDeepStrictEqual({ settings: before.settings, policy: before.policy }, stored)
  );
}
