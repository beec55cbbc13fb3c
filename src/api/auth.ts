import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import { isLoopback } from '../config.ts';
import { newId } from '../ids.ts';
import { addFirstKey } from '../ledger/add-first-key.ts';
import type { Database } from '../ledger/database.ts';
import { findKey } from '../ledger/find-key.ts';
import { listKeys } from '../ledger/list-keys.ts';
import { Problem } from './problems.ts';

export const scopes = ['send', 'read', 'admin'] as const;
export type Scope = (typeof scopes)[number];

/** A key that was found is trusted for so long without asking again, so that a removed one still works for a moment. */
const trustMs = 1_000;
/** How often the key of a request that waits is looked at, in milliseconds; mostly it is one that is still trusted. */
const watchMs = 1_000;
/** Keys remembered at most; more than any installation gives out. */
const rememberedKeys = 1_000;

/** The key that a request came with. */
export interface Caller {
  /** The id of the key; `masterId` for the one in TOCSIN_API_KEY. */
  id: string;
  scopes: readonly Scope[];
}

/** The maker of all broadcasts made with TOCSIN_API_KEY. A new value of the variable is the same maker. */
const masterId = 'TOCSIN_API_KEY';

export interface Gate {
  /** Notes whose key the request carries (`request.caller`). Throws a Problem unless that has one of these scopes. */
  admit(request: FastifyRequest, scope: Scope | readonly Scope[]): Promise<void>;
  /** Calls back once the request's key may no more: at once when it was withdrawn here, else within two seconds. Answers how to stop. */
  watch(request: FastifyRequest, scope: Scope | readonly Scope[], end: () => void): () => void;
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
  const known = new Map<string, { caller: Caller; until: number }>();
  const watches = new Set<() => void>();
  let generation = 0;

  async function callerOf(key: string): Promise<Caller | null> {
    const hash = hashKey(key);
    if (master && timingSafeEqual(hash, master)) return { id: masterId, scopes };
    const name = hash.toString('base64');
    const trusted = known.get(name);
    if (trusted && trusted.until > performance.now()) return trusted.caller;
    for (;;) {
      const asked = generation;
      // The time counts from the question: the key may be withdrawn while the answer is on its way.
      const until = performance.now() + trustMs;
      const found = await findKey(db, hash);
      // A look-up that began before a key was withdrawn must not be remembered.
      if (asked !== generation) continue;
      known.delete(name);
      if (!found) return null;
      if (known.size >= rememberedKeys) known.clear();
      const caller = { id: found.id, scopes: found.scopes };
      known.set(name, { caller, until });
      return caller;
    }
  }

  const gate: Gate = {
    async admit(request, scope) {
      const [, key] = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '') ?? [];
      if (!key) throw unauthenticated('Authenticate with an `Authorization: Bearer <key>` header.', '');
      const caller = await callerOf(key);
      if (!caller)
        throw unauthenticated(
          'This API key is not known here: it was mistyped, withdrawn, or made by another installation.',
          ', error="invalid_token"',
        );
      request.caller = caller;
      const enough = [scope].flat();
      if (enough.some((each) => may(caller, each))) return;
      const detail = `This needs a key with the scope ${enough.join(' or ')}; this one has ${caller.scopes.join(', ')}.`;
      throw forbidden(detail, enough.join(' '));
    },
    watch(request, scope, end) {
      const look = () =>
        void gate.admit(request, scope).catch((error) => {
          // A database that does not answer withdraws nothing.
          if (error instanceof Problem) end();
        });
      const timer = setInterval(look, watchMs);
      watches.add(look);
      return () => {
        clearInterval(timer);
        watches.delete(look);
      };
    },
    forget() {
      generation += 1;
      known.clear();
      for (const look of watches) look();
    },
  };
  return gate;
}

/** `admin` includes the others. */
export function may({ scopes }: Caller, scope: Scope): boolean {
  return scopes.includes(scope) || scopes.includes('admin');
}

export function forbidden(detail: string, scope: string): Problem {
  return new Problem(403, 'forbidden', detail, {
    headers: { 'www-authenticate': `Bearer realm="tocsin", error="insufficient_scope", scope="${scope}"` },
  });
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
