import { newId } from '../ids.ts';
import type { Intent } from '../ledger/accept.ts';
import type { Resolved, ResolvedDestination } from '../ledger/resolve-destinations.ts';
import { callbackSecret } from '../secrets.ts';
import { objection } from './addresses.ts';
import type { BroadcastBody } from './broadcast-body.ts';
import { exposed } from './credentials.ts';
import type { Parts } from './parts.ts';
import { type Flaw, invalid, type Problem } from './problems.ts';

/** How the request was made, beyond its body. */
export interface Circumstances {
  correlationId: string;
  traceparent: string | null;
  /** The id of the API key. */
  madeBy: string;
  idempotencyKey: string | null;
  requestHash: Buffer | null;
}

/** One destination of a request, with the id that its delivery would have. */
export type Target = ResolvedDestination & { id: string };

/** Looks up destinations by their names, and an audience with its members. */
export type Resolve = (names: string[], audience: string | null) => Promise<Resolved>;

/**
 * Resolves the destinations that a request names. The result is to be rendered before it is recorded (renderings.ts). Throws a Problem
 * that names the place.
 */
export async function composeIntent(
  body: BroadcastBody,
  how: Circumstances,
  resolve: Resolve,
  { vault, config }: Pick<Parts, 'vault' | 'config'>,
): Promise<{ intent: Intent; targets: Target[]; now: Date }> {
  const listed = listedDestinations(body);
  const refused = body.callback && refusedCallback(body.callback.url, config);
  if (refused) throw invalid([{ pointer: '/callback/url', detail: refused }]);

  const { now, audience, destinations } = await resolve([...listed.keys()], body.audience ?? null);
  const unknown: Flaw[] = [...listed]
    .filter(([name]) => !destinations.has(name))
    .map(([name, { at }]) => ({ pointer: `/destinations/${at}`, detail: `there is no destination ${name}` }));
  if (body.audience && !audience)
    unknown.push({ pointer: '/audience', detail: `there is no audience ${body.audience}` });
  if (unknown.length > 0) throw invalid(unknown, 422);
  const expiresAt = body.expiresAt === undefined ? null : new Date(body.expiresAt);
  // Without the database's clock it is `accept` that looks.
  if (expiresAt && now && expiresAt <= now) throw tooLate();

  const id = newId('bc');
  const targets = [...new Set([...listed.keys(), ...(audience?.destinations ?? [])])].flatMap((name) => {
    const found = destinations.get(name);
    return found ? [{ ...found, required: listed.get(name)?.required ?? found.required, id: newId('dl') }] : [];
  });
  if (targets.length === 0) throw invalid([{ pointer: '/audience', detail: 'has no destinations' }], 422);
  const intent: Intent = {
    id,
    message: body.message,
    topic: body.topic ?? null,
    correlationId: how.correlationId,
    traceparent: how.traceparent,
    metadata: body.metadata,
    callback: body.callback ? { url: body.callback.url, events: [...new Set(body.callback.events)] } : null,
    callbackSecret: body.callback?.secret ? vault.seal(body.callback.secret, callbackSecret(id)) : null,
    crossLink: body.crossLink,
    madeBy: how.madeBy,
    idempotencyKey: how.idempotencyKey,
    requestHash: how.requestHash,
    expiresAt,
    audience: audience && { name: audience.name, version: audience.version },
    deliveries: targets.map(({ id, name, version, kind, required, maxAttempts }) => ({
      id,
      destination: name,
      version,
      kind,
      required,
      maxAttempts,
    })),
  };
  return { intent, targets, now: now ?? new Date() };
}

export function tooLate(): Problem {
  return invalid([{ pointer: '/expiresAt', detail: 'must be in the future' }]);
}

function refusedCallback(url: string, { allowPrivateNetworks }: Parts['config']): string | null {
  const instead = 'sign the callbacks with `secret`, and let the receiver check that';
  return exposed(url, instead) ?? objection(url, allowPrivateNetworks);
}

/** Where in the list each name first stands, and what it says of being required. Equal repetitions are one. */
function listedDestinations({ destinations, audience }: BroadcastBody) {
  if (!destinations && !audience) {
    throw invalid([{ pointer: '/destinations', detail: 'is required unless an audience is named' }]);
  }
  const listed = new Map<string, { at: number; required: boolean | undefined }>();
  for (const [at, entry] of (destinations ?? []).entries()) {
    const { name, required } = typeof entry === 'string' ? { name: entry, required: undefined } : entry;
    const earlier = listed.get(name);
    if (earlier && earlier.required !== required) {
      const detail = `names ${name} again, and disagrees about whether it is required`;
      throw invalid([{ pointer: `/destinations/${at}`, detail }]);
    }
    if (!earlier) listed.set(name, { at, required });
  }
  return listed;
}
