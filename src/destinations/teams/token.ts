import { createHash } from 'node:crypto';
import { z } from 'zod';
import { FaultError } from '../adapter.ts';
import { describe } from '../faults.ts';
import { retryAfterMs } from '../retry-after.ts';
import { newWire, observe } from '../wire.ts';
import type { Reach } from './settings.ts';

interface Grant {
  accessToken: string;
  /** By `performance.now()`, which no correction of the machine's clock moves. */
  expiresAt: number;
  refreshToken: string;
}

export interface Access {
  token: string;
  /** Obtained for this very attempt: when it is refused, refreshing again would not help. */
  fresh: boolean;
}

/** A token that ends while its request is on the way would be refused there. */
const marginMs = 60_000;

const longestToken = 64 * 1024;
const longestLifeSeconds = 86_400;

const Answer = z.object({
  access_token: z.string().min(1).max(longestToken),
  expires_in: z.coerce.number().nonnegative().default(3600),
  refresh_token: z.string().min(1).max(longestToken).optional(),
});

const Refusal = z.object({ error: z.string().max(255), error_description: z.string().default('') });

/**
 * Tokens by credential, in memory only. Entra replaces refresh tokens as they are used; the old one goes on working until it
 * expires of itself (90 days without a sign-in), so the configured one is what a restart begins with again.
 * https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens
 */
const grants = new Map<string, Grant>();
const refreshing = new Map<string, Promise<Grant>>();

/** Resolves with a usable access token; throws a FaultError when there is none to be had. */
export async function access(reach: Reach): Promise<Access> {
  const { accessToken } = reach.secrets;
  if (accessToken !== undefined) return { token: accessToken, fresh: true };
  const credential = credentialOf(reach);
  const grant = grants.get(credential);
  if (grant && grant.expiresAt - marginMs > performance.now()) return { token: grant.accessToken, fresh: false };
  let refresh = refreshing.get(credential);
  if (!refresh) {
    // On a wire of its own: on the message's, a connection that Graph refuses would look as if the message had left.
    refresh = observe(newWire(), () => renew(reach, credential, grant)).finally(() => refreshing.delete(credential));
    refreshing.set(credential, refresh);
  }
  return { token: (await refresh).accessToken, fresh: true };
}

/** Makes the next attempt ask for a new token, unless another attempt has already got one. */
export function discard(reach: Reach, token: string): void {
  const credential = credentialOf(reach);
  const grant = grants.get(credential);
  if (grant?.accessToken === token) grants.set(credential, { ...grant, expiresAt: 0 });
}

async function renew(reach: Reach, credential: string, known: Grant | undefined): Promise<Grant> {
  const configured = reach.secrets.refreshToken ?? '';
  try {
    return keep(credential, await request(reach, known?.refreshToken ?? configured));
  } catch (error) {
    // The newest one may have been revoked by itself; what was configured is still worth a try.
    const refused = error instanceof FaultError && error.fault.class === 'permanent';
    if (!refused || known === undefined || known.refreshToken === configured) throw error;
    grants.delete(credential);
    return keep(credential, await request(reach, configured));
  }
}

function keep(credential: string, grant: Grant): Grant {
  grants.set(credential, grant);
  return grant;
}

async function request({ settings, secrets, fetch, signal }: Reach, refreshToken: string): Promise<Grant> {
  const { tenantId = '', clientId = '', clientSecret } = secrets;
  const url = settings.tokenUrl ?? `https://login.microsoftonline.com/${tenantId}/oauth2/v2.0/token`;
  const form = new URLSearchParams({ grant_type: 'refresh_token', client_id: clientId, refresh_token: refreshToken });
  if (clientSecret !== undefined) form.set('client_secret', clientSecret);

  let response: Response;
  let body: unknown;
  try {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' };
    response = await fetch(url, { method: 'POST', headers, body: form.toString(), signal });
    body = await response.json();
  } catch (error) {
    if (error instanceof FaultError) throw error;
    // The message itself has not been sent yet, so nothing about it is in doubt.
    throw unavailable(null, `The token endpoint gave no usable answer: ${describe(error)}`, null);
  }
  const answer = Answer.safeParse(body);
  if (response.ok && answer.success) {
    const { access_token, expires_in, refresh_token } = answer.data;
    const expiresAt = performance.now() + Math.min(expires_in, longestLifeSeconds) * 1000;
    return { accessToken: access_token, expiresAt, refreshToken: refresh_token ?? refreshToken };
  }
  const refusal = Refusal.safeParse(body);
  if (response.status >= 400 && response.status < 500 && response.status !== 429 && refusal.success) {
    const { error, error_description } = refusal.data;
    const message = `The credential was refused: ${error_description || error}`;
    const fault = { reason: error, message, status: response.status, retryAfterMs: null };
    throw new FaultError({ ...fault, class: 'permanent', credential: true });
  }
  const message = `The token endpoint answered ${response.status} without a token.`;
  throw unavailable(response.status, message, retryAfterMs(response.headers.get('retry-after') ?? undefined));
}

function unavailable(status: number | null, message: string, waitMs: number | null): FaultError {
  const limited = status === 429;
  return new FaultError({
    class: limited ? 'rate_limited' : 'transient',
    reason: limited ? 'too_many_requests' : 'token_unavailable',
    message,
    status,
    retryAfterMs: waitMs,
  });
}

function credentialOf({ settings, secrets }: Reach): string {
  const parts = [settings.tokenUrl, secrets.tenantId, secrets.clientId, secrets.clientSecret, secrets.refreshToken];
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url');
}
