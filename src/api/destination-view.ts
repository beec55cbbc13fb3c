import { z } from 'zod';
import { readDestinations } from '../ledger/read-destinations.ts';
import type { DestinationRow } from '../ledger/rows.ts';
import { Policy } from '../policy.ts';
import { destinationSecrets, SecretKeyError, type Vault } from '../secrets.ts';
import { shownSettings } from './credentials.ts';
import type { Parts } from './parts.ts';
import { notFound } from './problems.ts';

export const Destination = z
  .object({
    name: z.string(),
    kind: z.string(),
    settings: z
      .record(z.string(), z.unknown())
      .describe(
        'Values of `headers`, and of `url` all behind the host, are shown as `[redacted]`. Sent back like this, the stored value is kept.',
      ),
    secretsSet: z.array(z.string()).describe('Which secrets are there. They themselves are never answered.'),
    secretsUnreadable: z
      .literal(true)
      .optional()
      .describe(
        'They were stored with another secret key and cannot be opened: PUT the destination again with its secrets.',
      ),
    policy: Policy,
    required: z.boolean(),
    fallback: z.string().nullable(),
    paused: z.object({ at: z.string(), reason: z.string() }).nullable(),
    breaker: z.object({
      state: z.enum(['closed', 'open', 'half-open']),
      until: z.string().nullable(),
      faults: z.int().describe('Faults in a row.'),
    }),
    limitedUntil: z
      .string()
      .nullable()
      .optional()
      .describe(
        'Its service, or that of another one with the same credential, asked to be left alone until then (a 429).',
      ),
    openDeliveries: z.record(z.string(), z.int()).describe('How many, by state.'),
    createdAt: z.string(),
    updatedAt: z.string(),
  })
  .meta({ id: 'Destination' });

export function representDestination(row: DestinationRow, vault: Vault): z.output<typeof Destination> {
  return {
    name: row.name,
    kind: row.kind,
    settings: shownSettings(row.settings),
    ...shownSecrets(row, vault),
    // Brought into its usual order, and completed by what policies have gained since it was stored.
    policy: Policy.parse(row.policy),
    required: row.required,
    fallback: row.fallback,
    paused: row.paused_at && { at: row.paused_at.toISOString(), reason: row.pause_reason ?? '' },
    breaker: { state: row.breaker, until: row.breaker_until?.toISOString() ?? null, faults: row.faults },
    limitedUntil: row.limited_until?.toISOString() ?? null,
    openDeliveries: row.open,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

/** Throws a Problem when there is none of that name. */
export async function mustReadDestination({ db }: Pick<Parts, 'db'>, name: string): Promise<DestinationRow> {
  const [row] = await readDestinations(db, [name]);
  if (!row) throw notFound(`destination ${name}`);
  return row;
}

/** One whose secrets cannot be opened is shown all the same: it must not hide the others, nor its own health. */
function shownSecrets({ name, secrets }: DestinationRow, vault: Vault) {
  try {
    return { secretsSet: secretNames(vault.open(secrets, destinationSecrets(name))) };
  } catch (error) {
    if (error instanceof SecretKeyError) return { secretsSet: [], secretsUnreadable: true as const };
    throw error;
  }
}

function secretNames(secrets: unknown): string[] {
  return Object.entries(secrets as Record<string, unknown>)
    .filter(([, value]) => value !== undefined && value !== null)
    .map(([name]) => name);
}
