import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildApp } from '../../src/api/app.ts';
import { createDirectory } from '../../src/api/directory.ts';
import type { App } from '../../src/api/parts.ts';
import { type Database, openDatabase } from '../../src/ledger/database.ts';
import { masterKey, message, world } from './world.ts';

// Each test changes a destination through one API process, after the other process has read it.

const here = world();
const { ask, count, webhook } = here;

/** The other process: an application with connections, and a directory, of its own. */
let db: Database;
let other: App;
const statements: string[] = [];

beforeAll(async () => {
  db = openDatabase(here.url, { max: 4 });
  const query = db.query.bind(db) as (...given: unknown[]) => unknown;
  db.query = ((...given: [{ name?: string } | string, ...unknown[]]) => {
    const [what] = given;
    if (typeof what === 'object' && what.name) statements.push(what.name);
    return query(...given);
  }) as typeof db.query;
  other = await buildApp({ ...here.parts, db });
});
afterAll(async () => {
  await other?.close();
  await db?.end();
});

async function post(body: object, headers: Record<string, string> = {}) {
  statements.length = 0;
  const answer = await other.inject({
    method: 'POST',
    url: '/broadcasts',
    headers: { authorization: `Bearer ${masterKey}`, ...headers },
    payload: { message, ...body },
  });
  return { status: answer.statusCode, body: answer.json() };
}

const lookUps = () => statements.filter((name) => name === 'resolve-destinations').length;

async function recorded(id: string) {
  const { rows } = await here.parts.db.query(
    'select destination, kind, required, max_attempts from deliveries where broadcast_id = $1 order by seq',
    [id],
  );
  return rows;
}

const slack = { kind: 'slack', settings: { channel: 'C0123456789' }, secrets: { token: 'xoxb-1' } };

describe('a destination', () => {
  test('is looked up once for many broadcasts', async () => {
    await webhook('often');
    expect((await post({ destinations: ['often'] })).status).toBe(202);
    expect(lookUps()).toBe(1);
    expect((await post({ destinations: ['often'] })).status).toBe(202);
    expect(lookUps()).toBe(0);
  });

  test('that was replaced after it was cached is recorded as it is now', async () => {
    await webhook('moved');
    expect((await post({ destinations: ['moved'] })).body.deliveries[0].kind).toBe('webhook');
    await here.parts.db.query(
      `update deliveries set state = 'cancelled', due_at = null, ended_at = now() where destination = 'moved'`,
    );
    const put = await ask('PUT', '/destinations/moved', { ...slack, required: false, policy: { maxAttempts: 9 } });
    expect(put.status).toBe(200);
    const { status, body } = await post({ destinations: ['moved'] });
    expect(status).toBe(202);
    expect(body.deliveries).toMatchObject([{ kind: 'slack', required: false, maxAttempts: 9 }]);
    expect(await recorded(body.id)).toEqual([
      { destination: 'moved', kind: 'slack', required: false, max_attempts: 9 },
    ]);
  });

  test('that was replaced makes only its own requests read again, not the others of their batch', async () => {
    for (const name of ['steady', 'changed']) await webhook(name);
    await post({ destinations: ['steady', 'changed'] });
    await ask('PUT', '/destinations/changed', { kind: 'webhook', settings: { url: 'http://127.0.0.1:9/else' } });
    const before = await count('broadcasts');
    const both = Array.from({ length: 10 }, () => [
      post({ destinations: ['steady'] }),
      post({ destinations: ['changed'] }),
    ]);
    const answers = await Promise.all(both.flat());
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(await count('broadcasts')).toBe(before + 20);
    expect(lookUps()).toBeGreaterThan(0);
    expect(lookUps()).toBeLessThanOrEqual(10);
  });

  test('that was changed by hand in the database is recorded as it is now', async () => {
    await webhook('by-hand');
    await post({ destinations: ['by-hand'] });
    await here.parts.db.query(
      `update destinations set policy = jsonb_set(policy, '{maxAttempts}', '7') where name = 'by-hand'`,
    );
    const { body } = await post({ destinations: ['by-hand'] });
    expect(body.deliveries).toMatchObject([{ maxAttempts: 7 }]);
  });

  test('that was made a moment ago is found, also when it was missing before', async () => {
    expect((await post({ destinations: ['new'] })).status).toBe(422);
    await webhook('new');
    expect((await post({ destinations: ['new'] })).status).toBe(202);
  });

  test('that was removed is refused although it is cached', async () => {
    await webhook('gone');
    await webhook('stays');
    await post({ destinations: ['stays'] });
    // Only tried: a broadcast would keep it from being removed.
    const unsent = { destinations: ['gone'], expiresAt: '2020-01-01T00:00:00Z' };
    expect((await post(unsent)).body.errors).toMatchObject([{ pointer: '/expiresAt' }]);
    expect((await ask('DELETE', '/destinations/gone')).status).toBe(204);
    const before = await count('broadcasts');
    const { status, body } = await post({ destinations: ['stays', 'gone'] });
    expect(status).toBe(422);
    expect(body.errors).toEqual([{ pointer: '/destinations/1', detail: 'there is no destination gone' }]);
    expect(await count('broadcasts')).toBe(before);
  });

  test('that was removed and made again is recorded as it is now', async () => {
    await webhook('again');
    await post({ destinations: ['again'], expiresAt: '2020-01-01T00:00:00Z' });
    await ask('DELETE', '/destinations/again');
    await ask('PUT', '/destinations/again', slack);
    const { body } = await post({ destinations: ['again'] });
    expect(body.deliveries).toMatchObject([{ kind: 'slack' }]);
  });

  test('that is paused is not looked up again, and holds its delivery', async () => {
    await webhook('paused');
    await post({ destinations: ['paused'] });
    await ask('POST', '/destinations/paused/pause', { reason: 'maintenance' });
    const { body } = await post({ destinations: ['paused'] });
    expect(body.deliveries).toMatchObject([{ state: 'held', hold: 'paused' }]);
    expect(lookUps()).toBe(0);
  });
});

describe('an audience', () => {
  test('that changed after it was cached is taken as it is now', async () => {
    for (const name of ['member-1', 'member-2']) await webhook(name);
    await ask('PUT', '/audiences/team', { destinations: ['member-1'] });
    await post({ audience: 'team' });
    expect((await post({ audience: 'team' })).status).toBe(202);
    expect(lookUps()).toBe(0);
    await ask('PUT', '/audiences/team', { destinations: ['member-2', 'member-1'] });
    const { body } = await post({ audience: 'team' });
    expect(body.deliveries.map(({ destination }: { destination: string }) => destination)).toEqual([
      'member-2',
      'member-1',
    ]);
  });

  test('that was removed is refused although it is cached', async () => {
    await webhook('left');
    await ask('PUT', '/audiences/brief', { destinations: ['left'] });
    await post({ audience: 'brief' });
    await ask('DELETE', '/audiences/brief');
    const { status, body } = await post({ audience: 'brief' });
    expect([status, body.errors]).toEqual([422, [{ pointer: '/audience', detail: 'there is no audience brief' }]]);
  });
});

test('a repeated request is answered from the ledger, whatever became of its destination', async () => {
  await webhook('known');
  const key = { 'idempotency-key': 'known' };
  const first = await post({ destinations: ['known'] }, key);
  await ask('PATCH', '/destinations/known', { policy: { maxAttempts: 2 } });
  await ask('PUT', '/destinations/known', { kind: 'webhook', settings: { url: 'http://127.0.0.1:9/else' } });
  const again = await post({ destinations: ['known'] }, key);
  expect([again.status, again.body.id]).toEqual([200, first.body.id]);
});

test('a destination that changes whenever it was read is given up, and nothing is recorded', async () => {
  await webhook('restless');
  await post({ destinations: ['restless'] });
  const asked = db.query;
  let changes = 0;
  db.query = (async (...given: [{ name?: string }]) => {
    if (given[0].name === 'accept') {
      changes += 1;
      await ask('PUT', '/destinations/restless', {
        kind: 'webhook',
        settings: { url: `http://127.0.0.1:9/${changes}` },
      });
    }
    return (asked as (...all: unknown[]) => unknown)(...given);
  }) as never;
  const before = await count('broadcasts');
  const { status, body } = await post({ destinations: ['restless'] });
  db.query = asked;
  expect([status, body.type, changes]).toEqual([503, 'urn:tocsin:problem:busy', 4]);
  expect(await count('broadcasts')).toBe(before);
});

test('what is kept of destinations is bounded', async () => {
  const heaps = { headers: { 'x-text': 'a'.repeat(4_000) } };
  const names = Array.from({ length: 8 }, (_, n) => `large-${n}`);
  for (const name of names) await webhook(name, { settings: { url: 'http://127.0.0.1:9/', ...heaps } });
  statements.length = 0;
  const directory = createDirectory(db, { mostChars: 20_000 });
  for (const name of names) await directory.find([name], null);
  expect(lookUps()).toBe(8);
  await directory.find(names.slice(-2), null);
  expect(lookUps()).toBe(8);
  await directory.find(names.slice(0, 1), null);
  expect(lookUps()).toBe(9);
});
