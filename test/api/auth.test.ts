import type { FastifyRequest } from 'fastify';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { createGate, ensureFirstKey, safeHost } from '../../src/api/auth.ts';
import { openDatabase } from '../../src/ledger/database.ts';
import { freshDatabase } from '../support/database.ts';
import { until } from '../support/until.ts';
import { masterKey, message, world } from './world.ts';

const here = world();
const { ask } = here;
const keys: Record<string, { id: string; key: string }> = {};
const as = (scope: string) => ({ authorization: `Bearer ${keys[scope]?.key}` });

beforeAll(async () => {
  await here.webhook('one');
  for (const scope of ['send', 'read', 'admin']) {
    keys[scope] = (await ask('POST', '/keys', { name: scope, scopes: [scope] })).body;
  }
});

test('without a valid key nothing is done or told, and the answer says how to authenticate', async () => {
  const wrong = ['', 'Bearer', 'Bearer wrong', `Basic ${masterKey}`, `Bearer ${masterKey}x`, masterKey];
  for (const authorization of wrong) {
    for (const [method, path] of [
      ['GET', '/broadcasts'],
      ['POST', '/broadcasts'],
      ['GET', '/keys'],
    ] as const) {
      const answer = await ask(method, path, undefined, { authorization });
      expect([authorization, answer.status]).toEqual([authorization, 401]);
      expect(answer.headers['www-authenticate']).toMatch(/^Bearer /);
      expect(answer.headers['content-type']).toMatch(/problem\+json/);
    }
  }
});

test('the scheme is written in any case', async () => {
  expect((await ask('GET', '/broadcasts', undefined, { authorization: `bearer ${masterKey}` })).status).toBe(200);
});

test('a key does what its scope allows, and a refusal names the scope that it needs', async () => {
  const body = { message, destinations: ['one'] };
  const table: [string, string, unknown, string, string[]][] = [
    ['POST', '/broadcasts', body, 'send', ['send', 'admin']],
    ['POST', '/previews', body, 'send', ['send', 'admin']],
    ['GET', '/broadcasts', undefined, 'read', ['read', 'admin']],
    ['GET', '/deliveries', undefined, 'read', ['read', 'admin']],
    ['GET', '/destinations', undefined, 'read', ['read', 'admin']],
    ['PUT', '/audiences/x', { destinations: ['one'] }, 'admin', ['admin']],
    ['POST', '/deliveries/retry', { dryRun: true }, 'admin', ['admin']],
    ['GET', '/keys', undefined, 'admin', ['admin']],
  ];
  for (const [method, path, payload, needed, allowed] of table) {
    for (const scope of ['send', 'read', 'admin']) {
      const answer = await ask(method, path, payload, as(scope));
      if (allowed.includes(scope)) {
        expect([method, path, scope, answer.status < 300]).toEqual([method, path, scope, true]);
      } else {
        expect([method, path, scope, answer.status]).toEqual([method, path, scope, 403]);
        expect(answer.body.detail).toContain(`scope ${needed}`);
      }
    }
  }
});

test('probes, metrics and the documentation need no key', async () => {
  for (const path of ['/healthz', '/readyz', '/metrics', '/openapi.yaml', '/docs/']) {
    expect([path, (await ask('GET', path, undefined, { authorization: '' })).status]).toEqual([path, 200]);
  }
});

describe('keys', () => {
  test('are shown once, and stored hashed', async () => {
    const made = await ask('POST', '/keys', { name: 'ci', scopes: ['send', 'send'] });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ id: expect.stringMatching(/^key_/), name: 'ci', scopes: ['send'] });
    expect(made.body.key).toMatch(/^tocsin_[\w-]{43}$/);
    const list = await ask('GET', '/keys');
    expect(list.body.items[0]).toEqual({
      id: made.body.id,
      name: 'ci',
      scopes: ['send'],
      createdAt: expect.any(String),
    });
    const { rows } = await here.parts.db.query('select * from api_keys');
    expect(list.text + rows.map(({ hash }) => hash.toString('latin1')).join()).not.toContain(made.body.key);
  });

  test('are worth nothing once they are removed', async () => {
    const { body } = await ask('POST', '/keys', { name: 'brief', scopes: ['read'] });
    const headers = { authorization: `Bearer ${body.key}` };
    expect((await ask('GET', '/broadcasts', undefined, headers)).status).toBe(200);
    expect((await ask('DELETE', `/keys/${body.id}`)).status).toBe(204);
    expect((await ask('GET', '/broadcasts', undefined, headers)).status).toBe(401);
    expect((await ask('DELETE', `/keys/${body.id}`)).status).toBe(404);
  });

  test('are not trusted again by a lookup that was under way when they were withdrawn', async () => {
    const { body } = await ask('POST', '/keys', { name: 'brief', scopes: ['read'] });
    const { db } = here.parts;
    const [found, withdrawn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    // What the database answers is on its way for as long as the test wants.
    const slow = {
      query: async (...given: Parameters<typeof db.query>) => {
        const answer = await db.query(...given);
        found.resolve();
        await withdrawn.promise;
        return answer;
      },
    } as typeof db;
    const gate = createGate(slow, null);
    const request = () => ({ headers: { authorization: `Bearer ${body.key}` } }) as FastifyRequest;
    const admitted = gate.admit(request(), 'read').then(
      () => 'admitted',
      (problem) => problem.status,
    );
    await found.promise;
    await ask('DELETE', `/keys/${body.id}`);
    gate.forget();
    withdrawn.resolve();
    expect(await admitted).toBe(401);
    await expect(gate.admit(request(), 'read')).rejects.toMatchObject({ status: 401 });
  });

  test('that are withdrawn are soon worth nothing in another process that used them', async () => {
    const { body } = await ask('POST', '/keys', { name: 'brief', scopes: ['read'] });
    const gate = createGate(here.parts.db, null);
    const request = { headers: { authorization: `Bearer ${body.key}` } } as FastifyRequest;
    await gate.admit(request, 'read');
    await ask('DELETE', `/keys/${body.id}`);
    await until('the key to be refused', () =>
      gate.admit(request, 'read').then(
        () => false,
        ({ status }) => status === 401,
      ),
    );
  });

  test('that are withdrawn end the request that waits for a broadcast', async () => {
    const { body } = await ask('POST', '/keys', { name: 'patient', scopes: ['read'] });
    const { id } = (await ask('POST', '/broadcasts', { message, destinations: ['one'] })).body;
    const wait = vi.spyOn(here.parts.convergence, 'wait');
    const waiting = ask('GET', `/broadcasts/${id}?wait=60`, undefined, { authorization: `Bearer ${body.key}` });
    await until('it to wait', () => wait.mock.calls.length === 1);
    wait.mockRestore();
    await ask('DELETE', `/keys/${body.id}`);
    // The broadcast is still open: only the withdrawal can end the request.
    const answer = await waiting;
    expect(answer.status).toBe(401);
    expect(answer.text).not.toContain(id);
    expect((await ask('GET', `/broadcasts/${id}`)).body.state).toBe('converging');
  });

  test('of others do not end a request that waits when one is withdrawn', async () => {
    const { body } = await ask('POST', '/keys', { name: 'leaving', scopes: ['read'] });
    const { id } = (await ask('POST', '/broadcasts', { message, destinations: ['one'] })).body;
    const wait = vi.spyOn(here.parts.convergence, 'wait');
    const waiting = ask('GET', `/broadcasts/${id}?wait=60`);
    await until('it to wait', () => wait.mock.calls.length === 1);
    wait.mockRestore();
    await ask('DELETE', `/keys/${body.id}`);
    await ask('POST', `/broadcasts/${id}/cancel`);
    const answer = await waiting;
    expect([answer.status, answer.body.state]).toEqual([200, 'cancelled']);
  });

  test('have a scope that exists', async () => {
    for (const scopes of [[], ['root']]) {
      const { status, body } = await ask('POST', '/keys', { name: 'x', scopes });
      expect([status, body.errors[0].pointer.startsWith('/scopes')]).toEqual([400, true]);
    }
  });
});

describe('the first start', () => {
  async function empty<T>(work: (db: ReturnType<typeof openDatabase>) => Promise<T>): Promise<T> {
    const fresh = await freshDatabase();
    const db = openDatabase(fresh.url);
    try {
      return await work(db);
    } finally {
      await db.end();
      await fresh.drop();
    }
  }

  test('makes a key, once, and listens where only this machine can come', () =>
    empty(async (db) => {
      const open = { apiKey: null, host: '0.0.0.0' };
      expect(await safeHost(db, open)).toBe('127.0.0.1');
      const starts = await Promise.all([1, 2, 3].map(() => ensureFirstKey(db, open)));
      expect(starts.filter((key) => key !== null)).toEqual([expect.stringMatching(/^tocsin_/)]);
      expect(await ensureFirstKey(db, open)).toBeNull();
      expect(await safeHost(db, open)).toBe('0.0.0.0');
    }));

  test('makes none when one is configured', () =>
    empty(async (db) => {
      const given = { apiKey: 'given', host: '0.0.0.0' };
      expect(await safeHost(db, given)).toBe('0.0.0.0');
      expect(await ensureFirstKey(db, given)).toBeNull();
      expect((await db.query('select from api_keys')).rowCount).toBe(0);
    }));
});
