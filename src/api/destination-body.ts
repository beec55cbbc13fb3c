import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { Adapter } from '../destinations/adapter.ts';
import type { PrivateNetworks } from '../destinations/private-networks.ts';
import { adapters } from '../destinations/registry.ts';
import type { DestinationRow } from '../ledger/rows.ts';
import type { DestinationWrite } from '../ledger/write-destination.ts';
import { Policy } from '../policy.ts';
import { destinationSecrets, SecretKeyError, type Vault } from '../secrets.ts';
import { refusedUrls } from './addresses.ts';
import { mostDestinations, Name } from './broadcast-body.ts';
import { reaimed, refusedCredentials, restoredSettings } from './credentials.ts';
import { invalid, pointerTo } from './problems.ts';
import { parse } from './validation.ts';

export const DestinationBody = z
  .strictObject({
    kind: z.enum(Object.keys(adapters) as [string, ...string[]]),
    settings: z.record(z.string(), z.unknown()).default({}).describe("By kind: the service's place."),
    secrets: z
      .record(z.string(), z.unknown())
      .optional()
      .describe(
        'By kind. Write-only; left out when replacing, those that are there are kept, unless a URL leads to another host.',
      ),
    policy: Policy.prefault({}),
    required: z.boolean().default(true).describe('The default for broadcasts that do not say.'),
    fallback: Name.nullable()
      .default(null)
      .describe('A delivery that ends dead, unknown or expired goes there instead.'),
  })
  .meta({
    id: 'NewDestination',
    example: { kind: 'slack', settings: { channel: 'C0123456789' }, secrets: { token: 'xoxb-…' }, fallback: null },
  });
export type DestinationBody = z.output<typeof DestinationBody>;

export const AudienceBody = z
  .strictObject({ destinations: z.array(Name).min(1).max(mostDestinations) })
  .meta({ id: 'NewAudience', example: { destinations: ['slack-incidents', 'pagerduty-oncall'] } });

/**
 * What will be stored of a destination: checked by its kind, secrets sealed. The secrets of `before` are kept when the body
 * has none, the kind is the same and no URL leads to another host; those that are the same stay sealed as they are, byte for byte, because each sealing looks
 * different. Throws a Problem with the places below `at`.
 */
export function composeDestination(
  name: string,
  { kind, settings, secrets, policy, required, fallback }: DestinationBody,
  before: DestinationRow | null,
  { vault, allowPrivateNetworks }: { vault: Vault; allowPrivateNetworks: PrivateNetworks },
  at: PropertyKey[] = [],
): DestinationWrite {
  const adapter = adapters[kind];
  if (!adapter) throw invalid([{ pointer: '/kind', detail: `must be one of ${Object.keys(adapters).join(', ')}` }]);
  const kept = secrets === undefined && before?.kind === kind;
  const stored = before?.kind === kind ? before.settings : null;
  const parsedSettings = parse(adapter.settings, restoredSettings(settings, stored), [...at, 'settings']);
  const parsedSecrets = parse(adapter.secrets, kept ? keptSecrets(name, before, vault, at) : (secrets ?? {}), [
    ...at,
    'secrets',
  ]);
  const errors = [parsedSettings, parsedSecrets].flatMap((parsed) => (parsed.ok ? [] : parsed.errors));
  if (parsedSettings.ok) errors.push(...refusedCredentials(parsedSettings.value, [...at, 'settings']));
  if (parsedSettings.ok) errors.push(...refusedUrls(parsedSettings.value, [...at, 'settings'], allowPrivateNetworks));
  if (parsedSecrets.ok) errors.push(...refusedUrls(parsedSecrets.value, [...at, 'secrets'], allowPrivateNetworks));
  if (errors.length > 0 || !parsedSettings.ok || !parsedSecrets.ok) throw invalid(errors);
  if (kept && hasValues(parsedSecrets.value)) mustStayThere(adapter, before.settings, parsedSettings.value, at);
  const budget = adapter.budget?.(parsedSettings.value, parsedSecrets.value);
  return {
    kind,
    settings: parsedSettings.value,
    secrets: sealed(name, parsedSecrets.value, before, vault),
    policy,
    required,
    fallback,
    budget: budget === undefined ? null : createHash('sha256').update(`${kind} ${budget}`).digest('hex'),
    place: adapter.place?.(parsedSettings.value, parsedSecrets.value) ?? null,
  };
}

function keptSecrets(name: string, { secrets }: DestinationRow, vault: Vault, at: PropertyKey[]): unknown {
  const stored = opened(secrets, destinationSecrets(name), vault);
  if (stored !== undefined) return stored;
  const detail = 'cannot be kept, because they were stored with another secret key: send them again';
  throw invalid([{ pointer: pointerTo([...at, 'secrets']), detail }], 422);
}

/** Secrets that nobody can read must not be had by sending them to another host either. Throws a Problem. */
function mustStayThere(adapter: Adapter, before: DestinationRow['settings'], after: unknown, at: PropertyKey[]): void {
  // With the defaults that the kind has gained since.
  const known = adapter.settings.safeParse(before);
  const moved = reaimed((known.data as typeof before) ?? before, after as typeof before);
  const detail = 'leads to another host than the stored secrets were given for: send the secrets with it';
  if (moved.length > 0)
    throw invalid(
      moved.map((path) => ({ pointer: pointerTo([...at, 'settings', ...path]), detail })),
      422,
    );
}

function hasValues(secrets: unknown): boolean {
  return Object.values(secrets as Record<string, unknown>).some((value) => value !== undefined && value !== null);
}

function sealed(name: string, secrets: unknown, before: DestinationRow | null, vault: Vault): Buffer {
  const context = destinationSecrets(name);
  const stored = before && opened(before.secrets, context, vault);
  return before && isDeepStrictEqual(stored, plain(secrets)) ? before.secrets : vault.seal(secrets, context);
}

/** Undefined where the key is another one by now: storing them anew is then what mends it. */
function opened(secrets: Buffer, context: string, vault: Vault): unknown {
  try {
    return vault.open(secrets, context);
  } catch (error) {
    if (error instanceof SecretKeyError) return undefined;
    throw error;
  }
}

function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
