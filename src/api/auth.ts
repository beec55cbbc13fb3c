import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { newId } from '../ids.ts';
import { addFirstKey } from '../ledger/add-first-key.ts';
import type { Database } from '../ledger/database.ts';
import { findKey } from '../ledger/find-key.ts';
import { listKeys } from '../ledger/list-keys.ts';
import { Problem } from './problems.ts';

export const scopes = ['send', 'read', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** A key that was found is trusted for so long without asking again, so that a removed one still works for a moment. */
const trustMs = 5_000;
/** Keys remembered at most; more than any installation gives out. */
const rememberedKeys = 1_000;

export interface Gate {
  /** Throws a Problem unless the request carries a key with this scope. */
  admit(request: FastifyRequest, scope: Scope): Promise<void>;
  /** Makes this process ask the ledger again for every key. */
  forget(): void;
}

export function newKey(): string {
  return `tocsin_${randomBytes(32).toString('base64url')}`;
}

export function hashKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}

export function createGate(db: Database, apiKey: string | null): Gate {
  const master = apiKey === null ? null : hashKey(apiKey);
  const known = new Map<string, { scopes: readonly Scope[]; until: number }>();

  async function scopesOf(key: string): Promise<readonly Scope[] | null> {
    const hash = hashKey(key);
    if (master && timingSafeEqual(hash, master)) return scopes;
    const name = hash.toString('base64');
    const trusted = known.get(name);
    if (trusted && trusted.until > performance.now()) return trusted.scopes;
    const found = await findKey(db, hash);
    known.delete(name);
    if (!found) return null;
    if (known.size >= rememberedKeys) known.clear();
    known.set(name, { scopes: found.scopes, until: performance.now() + trustMs });
    return found.scopes;
  }

  return {
    async admit(request, scope) {
      const [, key] = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
      if (!key) throw unauthenticated('Authenticate with an `Authorization: Bearer <key>` header.', '');
      const granted = await scopesOf(key);
      if (!granted) throw unauthenticated('This key is not valid.', ', error="invalid_token"');
      if (granted.includes(scope) || granted.includes('admin')) return;
      throw new Problem(
        403,
        'forbidden',
        `This needs a key with the scope ${scope}; this one has ${granted.join(', ')}.`,
        {
          headers: { 'www-authenticate': `Bearer realm="tocsin", error="insufficient_scope", scope="${scope}"` },
        },
      );
    },
    forget: () => known.clear(),
  };
}

function unauthenticated(detail: string, error: string): Problem {
  return new Problem(401, 'unauthenticated', detail, {
    headers: { 'www-authenticate': `Bearer realm="tocsin"${error}` },
  });
}

/**
 * Where to listen: as configured, but where only this machine can come while there is no key at all. Whoever comes first must not
 * own the service.
 */
export async function safeHost(
  db: Database,
  { apiKey, host }: { apiKey: string | null; host: string },
): Promise<string> {
  if (apiKey !== null || isLoopback(host)) return host;
  const { rows } = await listKeys(db, { limit: 1, after: null });
  return rows.length > 0 ? host : '127.0.0.1';
}

/**
 * Without TOCSIN_API_KEY and without any key yet, makes the first one, to be shown once; otherwise answers null. To be called when
 * nothing can fail any more: a key that nobody was shown would lock everybody out.
 */
export async function ensureFirstKey(db: Database, { apiKey }: { apiKey: string | null }): Promise<string | null> {
  if (apiKey !== null) return null;
  const key = newKey();
  const added = await addFirstKey(db, { id: newId('key'), name: 'first key', hash: hashKey(key), scopes: ['admin'] });
  return added ? key : null;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
