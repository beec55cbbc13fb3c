import { beforeAll, describe, expect, test } from 'vitest';
import { masterKey, message, world } from './world.ts';

const here = world();
const { ask, webhook, count } = here;
const keys: Record<string, string> = {};
const as = (name: string, more: Record<string, string> = {}) => ({ authorization: `Bearer ${keys[name]}`, ...more });
const once = (name: string, key: string) => as(name, { 'idempotency-key': key });
const secret = { message: { title: 'Breach at ACME, embargoed' }, destinations: ['one'] };

beforeAll(async () => {
  await webhook('one');
  keys.master = masterKey;
  for (const [name, scopes] of Object.entries({
    alerting: ['send'],
    legal: ['send'],
    reader: ['read'],
    both: ['send', 'read'],
    admin: ['admin'],
  })) {
    keys[name] = (await ask('POST', '/keys', { name, scopes })).body.key;
  }
});

const say = async (name: string) => (await ask('POST', '/broadcasts', secret, as(name))).body;

/** As if the workers had been there. */
async function fail(broadcastId: string): Promise<void> {
  await here.parts.db.query(
    `update deliveries set state = 'dead', due_at = null, ended_at = now() where broadcast_id = $1`,
    [broadcastId],
  );
}

const changes: [string, string, (id: string) => string, unknown][] = [
  ['PATCH', 'revised', (id) => `/broadcasts/${id}`, { message: { title: 'Nothing happened' } }],
  ['POST', 'cancelled', (id) => `/broadcasts/${id}/cancel`, undefined],
  ['POST', 'retried', (id) => `/broadcasts/${id}/retry`, undefined],
  ['POST', 'retracted', (id) => `/broadcasts/${id}/retract`, undefined],
];

describe('a broadcast belongs to the key that made it', () => {
  test.each(changes)('%s: by a send key it is only %s where that key made it', async (method, _, path, body) => {
    const { id } = await say('legal');
    if (path('').endsWith('retry')) await fail(id);
    const before = await ask('GET', `/broadcasts/${id}`);
    for (const other of ['alerting', 'both']) {
      const refused = await ask(method, path(id), body, as(other));
      expect([other, refused.status, refused.body.type]).toEqual([other, 403, 'urn:tocsin:problem:forbidden']);
      expect(refused.body.detail).toMatch(/made by another key|only what it made/);
      expect(refused.text).not.toContain('ACME');
      const nowhere = await ask(method, path('bc_none'), body, as(other));
      // Nobody learns from the answer what there is.
      expect(nowhere.status).toBe(403);
      expect(nowhere.body.detail.replace('bc_none', id)).toBe(refused.body.detail);
    }
    expect((await ask('GET', `/broadcasts/${id}`)).body).toEqual(before.body);
    const own = await ask(method, path(id), body, as('legal'));
    expect([own.status, own.body.id, own.body.deliveries.length]).toEqual([202, id, 1]);
  });

  test.each(changes)('%s: by an admin key it is %s whoever made it', async (method, _, path, body) => {
    for (const admin of ['admin', 'master']) {
      const { id } = await say('legal');
      if (path('').endsWith('retry')) await fail(id);
      expect((await ask(method, path(id), body, as(admin))).status).toBe(202);
    }
  });

  test('one delivery of it is only tried again by its maker, or by an admin key', async () => {
    const { id, deliveries } = await say('legal');
    await fail(id);
    const path = `/deliveries/${deliveries[0].id}/retry`;
    expect((await ask('POST', path, undefined, as('alerting'))).status).toBe(403);
    expect((await ask('POST', '/deliveries/dl_none/retry', undefined, as('alerting'))).status).toBe(403);
    expect((await ask('POST', path, undefined, as('legal'))).status).toBe(202);
    await fail(id);
    expect((await ask('POST', path, undefined, as('admin'))).status).toBe(202);
    expect((await ask('POST', '/deliveries/dl_none/retry', undefined, as('admin'))).status).toBe(404);
    expect((await ask('POST', '/deliveries/retry', { dryRun: true }, as('legal'))).status).toBe(403);
  });

  test('a send key sees what it made, and learns nothing of what others made', async () => {
    const made = await ask('POST', '/broadcasts', secret, as('legal'));
    expect([made.status, made.body.message.title]).toEqual([202, secret.message.title]);
    const path = `/broadcasts/${made.body.id}`;
    expect((await ask('GET', path, undefined, as('legal'))).body).toEqual(made.body);
    const refused = await ask('GET', path, undefined, as('alerting'));
    const nowhere = await ask('GET', '/broadcasts/bc_none', undefined, as('alerting'));
    expect([refused.status, nowhere.status]).toEqual([403, 403]);
    expect(nowhere.body.detail.replace('bc_none', made.body.id)).toBe(refused.body.detail);
    expect(refused.body.detail).toContain('scope read');
    for (const reader of ['reader', 'both', 'admin']) {
      expect([reader, (await ask('GET', path, undefined, as(reader))).status]).toEqual([reader, 200]);
    }
    expect((await ask('GET', '/broadcasts', undefined, as('legal'))).status).toBe(403);
    expect((await ask('GET', `${path}/events`, undefined, as('legal'))).status).toBe(403);
  });
});

describe('an idempotency key belongs to the API key that it came with', () => {
  test('two keys may use the same one, each for a broadcast of its own', async () => {
    const theirs = await ask('POST', '/broadcasts', secret, once('legal', 'INC-1'));
    const body = { ...secret, message };
    const ours = await ask('POST', '/broadcasts', body, once('alerting', 'INC-1'));
    expect([theirs.status, ours.status]).toEqual([202, 202]);
    expect(ours.body.id).not.toBe(theirs.body.id);
    const same = await ask('POST', '/broadcasts', secret, once('both', 'INC-1'));
    expect([same.status, same.body.id === theirs.body.id]).toEqual([202, false]);
    for (const [name, sent, made] of [
      ['legal', secret, theirs],
      ['alerting', body, ours],
    ] as const) {
      const again = await ask('POST', '/broadcasts', sent, once(name, 'INC-1'));
      expect([again.status, again.body.id]).toEqual([200, made.body.id]);
    }
    const conflict = await ask('POST', '/broadcasts', secret, once('alerting', 'INC-1'));
    expect([conflict.status, conflict.body.broadcastId]).toEqual([409, ours.body.id]);
  });

  test('two keys at once make one broadcast each', async () => {
    const before = await count('broadcasts');
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        ask('POST', '/broadcasts', secret, once(n % 2 ? 'legal' : 'admin', 'INC-2')),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 200, 200, 200, 200, 200, 202, 202]);
    expect(await count('broadcasts')).toBe(before + 2);
  });

  test('a request that is not taken any more is answered to its own key alone', async () => {
    await webhook('brief');
    const body = { message, destinations: ['brief'] };
    const { id } = (await ask('POST', '/broadcasts', body, once('legal', 'gone'))).body;
    await ask('POST', `/broadcasts/${id}/cancel`);
    expect((await ask('DELETE', '/destinations/brief')).status).toBe(204);
    const again = await ask('POST', '/broadcasts', body, once('legal', 'gone'));
    expect([again.status, again.body.id]).toEqual([200, id]);
    const other = await ask('POST', '/broadcasts', body, once('alerting', 'gone'));
    expect(other.status).toBe(422);
    expect(other.text).not.toContain(id);
  });
});

describe('a broadcast from before makers were recorded', () => {
  async function old(key: string): Promise<string> {
    const { id } = (await ask('POST', '/broadcasts', secret, once('legal', key))).body;
    await here.parts.db.query(`update broadcasts set made_by = '' where id = $1`, [id]);
    return id;
  }

  test('is changed by admin keys alone', async () => {
    const id = await old('old-1');
    expect((await ask('POST', `/broadcasts/${id}/cancel`, undefined, as('legal'))).status).toBe(403);
    expect((await ask('POST', `/broadcasts/${id}/cancel`, undefined, as('admin'))).status).toBe(202);
  });

  test('is still the answer to a repetition of the very same request', async () => {
    const id = await old('old-2');
    const again = await ask('POST', '/broadcasts', secret, once('legal', 'old-2'));
    expect([again.status, again.body.id]).toEqual([200, id]);
    const other = await ask('POST', '/broadcasts', { ...secret, message }, once('legal', 'old-2'));
    expect([other.status, other.body.id === id]).toEqual([202, false]);
    const conflict = await ask('POST', '/broadcasts', secret, once('legal', 'old-2'));
    expect([conflict.status, conflict.body.broadcastId]).toEqual([409, other.body.id]);
  });
});
