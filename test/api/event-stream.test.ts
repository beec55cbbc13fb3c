import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildApp } from '../../src/api/app.ts';
import type { App } from '../../src/api/parts.ts';
import { accept } from '../../src/ledger/accept.ts';
import { presentPosition } from '../../src/ledger/read-changes.ts';
import { sendProbes } from '../../src/ledger/send-probes.ts';
import { createVault, destinationSecrets } from '../../src/secrets.ts';
import { type Ear, hear } from '../support/events.ts';
import { attempt, failed, intent, letPass, settleOne, success, take } from '../support/ledger.ts';
import { until } from '../support/until.ts';
import { masterKey, message, world } from './world.ts';

const here = world();
const { ask, webhook } = here;
let url: string;
const ears: Ear[] = [];

beforeAll(async () => {
  url = await here.app.listen({ host: '127.0.0.1', port: 0 });
});
afterAll(() => {
  for (const ear of ears) ear.cut();
});

async function listen(path: string, { lastEventId = undefined as string | undefined, key = masterKey, at = url } = {}) {
  const ear = await hear(`${at}${path}`, { key, ...(lastEventId !== undefined && { lastEventId }) });
  ears.push(ear);
  return ear;
}

/** A stream that has begun: whatever happens from here on is told, and nothing of before. */
async function listening(path = '/events', more: Parameters<typeof listen>[1] = {}): Promise<Ear> {
  // Other files share the server, and while one of their transactions is under way, what just happened here counts as present.
  const { rows } = await here.parts.db.query<{ xact: string }>('select pg_current_xact_id()::text as xact');
  await until('all that happened to be past', async () => {
    return Number.parseInt(await presentPosition(here.parts.db), 10) > Number(rows[0]?.xact);
  });
  const ear = await listen(path, more);
  expect(ear.status).toBe(200);
  await until('the stream to begin', () => ear.lastId() !== '');
  return ear;
}

async function say(destinations: string[], rest: object = {}) {
  const { status, body } = await ask('POST', '/broadcasts', { message, destinations, ...rest });
  expect(status).toBe(202);
  return body as { id: string; deliveries: { id: string }[] };
}

const told = (ear: Ear, id: string) =>
  ear.heard.filter(({ data }) => data.id === id || data.name === id).map(({ data }) => data.state);

test('a delivery is seen from pending to confirmed, and then its broadcast converges', async () => {
  await webhook('ops');
  const ear = await listening();
  const broadcast = await say(['ops']);
  const [{ id }] = broadcast.deliveries as [{ id: string }];
  await ear.hears('it is pending', ({ data }) => data.id === id && data.state === 'pending');
  const claimed = await take(here.parts.db, id);
  // Nobody notifies of a claim: this one is found by looking.
  await ear.hears('it is being sent', ({ data }) => data.id === id && data.state === 'sending');
  await settleOne(here.parts.db, claimed, success);
  const over = await ear.hears('it is over', ({ data }) => data.id === broadcast.id && data.state === 'delivered');

  expect(told(ear, id)).toEqual(['pending', 'sending', 'confirmed']);
  expect(told(ear, broadcast.id)).toEqual(['converging', 'delivered']);
  expect(ear.heard.at(-1)).toBe(over);
  expect(over.data).toEqual((await ask('GET', `/broadcasts/${broadcast.id}`)).body);
  const { attempts: _, ...delivery } = (await ask('GET', `/deliveries/${id}`)).body;
  expect(ear.heard.findLast(({ event }) => event === 'delivery.updated')?.data).toEqual(delivery);
  expect(ear.headers).toMatchObject({
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store',
    'x-accel-buffering': 'no',
  });
  expect(ear.text()).toMatch(/^retry: \d+\n\n/);
});

describe('one broadcast', () => {
  test('is told as it is with each of its deliveries, then as it changes, and nothing of others', async () => {
    await Promise.all([webhook('left'), webhook('right')]);
    const broadcast = await say(['left', 'right']);
    const [left, right] = broadcast.deliveries as [{ id: string }, { id: string }];
    await attempt(here.parts.db, left.id, success);
    const ear = await listening(`/broadcasts/${broadcast.id}/events`);
    expect(ear.heard.map(({ event, data }) => [event, data.id, data.state])).toEqual([
      ['broadcast.updated', broadcast.id, 'converging'],
      ['delivery.updated', left.id, 'confirmed'],
      ['delivery.updated', right.id, 'pending'],
    ]);
    // Who was cut before its end has to begin anew.
    expect(ear.heard.map(({ id }) => id)).toEqual([null, null, expect.stringMatching(/./)]);
    const other = await say(['left']);
    await attempt(here.parts.db, right.id, success);
    await ear.hears('it converged', ({ data }) => data.state === 'delivered');
    expect(ear.text()).not.toContain(other.id);
  });

  test('goes on where it was cut, without its beginning', async () => {
    await webhook('ops');
    const broadcast = await say(['ops']);
    const first = await listening(`/broadcasts/${broadcast.id}/events`);
    first.cut();
    await attempt(here.parts.db, broadcast.deliveries[0]?.id ?? '', success);
    const ear = await listening(`/broadcasts/${broadcast.id}/events`, { lastEventId: first.lastId() });
    await ear.hears('it converged', ({ data }) => data.state === 'delivered');
    expect(ear.heard.findLast(({ event }) => event === 'delivery.updated')?.data.state).toBe('confirmed');
    expect(ear.heard.map(({ data }) => data.state)).not.toContain('converging');
  });

  test('that does not exist is a problem', async () => {
    const { status, problem } = await listen('/broadcasts/bc_1/events');
    expect([status, problem.type]).toEqual([404, 'urn:tocsin:problem:not-found']);
  });
});

test('after a cut all that was missed is told, in order, from whichever process', async () => {
  await webhook('ops');
  const first = await listening();
  const before = await say(['ops']);
  await first.hears('the first', ({ data }) => data.id === before.id);
  first.cut();
  const missed: string[] = [];
  for (let n = 0; n < 120; n++) missed.push((await say(['ops'])).id);
  await withSecondApp(async (_, elsewhere) => {
    const ear = await listening('/events', { lastEventId: first.lastId(), at: elsewhere });
    await ear.hears('the last', ({ data }) => data.id === missed.at(-1));
    const broadcasts = ear.heard.filter(({ event }) => event === 'broadcast.updated').map(({ data }) => data.id);
    expect(broadcasts).toEqual(missed);
  });
});

describe('destinations', () => {
  test('are told when their breaker opens, probes and closes, and not with every fault', async () => {
    const { db } = here.parts;
    await webhook('sick', { policy: { backoff: { baseMs: 1, maxMs: 1 } } });
    const ear = await listening('/events?destination=sick');
    for (let fault = 1; fault <= 5; fault++) {
      const { deliveries } = await say(['sick']);
      await attempt(db, deliveries[0]?.id ?? '', failed('transient'));
    }
    const states = () =>
      ear.heard.filter(({ event }) => event === 'destination.updated').map(({ data }) => data.breaker.state);
    await until('it to open', () => states().includes('open'));
    expect(states()).toEqual(['open']);
    await letPass(db, 60);
    expect(await sendProbes(db)).toBe(1);
    await until('it to be half-open', () => states().at(-1) === 'half-open');
    const { rows } = await db.query(`select probe from destinations where name = 'sick'`);
    await attempt(db, rows[0].probe, success);
    await until('it to close', () => states().at(-1) === 'closed');
  });

  test('are told when a refused credential pauses them, and when they are resumed', async () => {
    await webhook('refusing');
    const ear = await listening();
    const { deliveries } = await say(['refusing']);
    await attempt(here.parts.db, deliveries[0]?.id ?? '', failed('permanent', { credential: true }));
    const paused = await ear.hears('the pause', ({ data }) => data.name === 'refusing' && data.paused !== null);
    expect(paused.data.paused.reason).toMatch(/credential refused/);
    await ask('POST', '/destinations/refusing/resume');
    const resumed = await ear.hears(
      'its end',
      (one) => ear.heard.indexOf(one) > ear.heard.indexOf(paused) && one.data.name === 'refusing',
    );
    expect(resumed.data).toEqual((await ask('GET', '/destinations/refusing')).body);
  });

  test('are told without their secrets', async () => {
    const ear = await listening();
    const secret = `whsec_${Buffer.alloc(24, 'x').toString('base64')}`;
    await webhook('secretive', { secrets: { signingSecret: secret } });
    const callback = { url: 'http://127.0.0.1:9/back', events: ['broadcast.converged'], secret };
    const { id } = await say(['secretive'], { callback });
    const { data } = await ear.hears('it', ({ data }) => data.name === 'secretive');
    expect(data.secretsSet).toEqual(['signingSecret']);
    await ear.hears('the broadcast', ({ data }) => data.id === id);
    expect(ear.text()).not.toContain(secret);
  });

  test('that were stored with another secret key are told as such, and what comes behind them too', async () => {
    await webhook('sealed');
    const ear = await listening();
    const sealed = createVault(Buffer.alloc(32, 9)).seal({}, destinationSecrets('sealed'));
    await here.parts.db.query(`update destinations set secrets = $1 where name = 'sealed'`, [sealed]);
    const { data } = await ear.hears('it', ({ data }) => data.name === 'sealed' && data.secretsUnreadable);
    expect(data).toEqual((await ask('GET', '/destinations/sealed')).body);
    await webhook('behind');
    await ear.hears('what comes behind it', ({ data }) => data.name === 'behind');
    expect(ear.ended()).toBe(false);
  });

  test('can be asked for alone', async () => {
    await Promise.all([webhook('wanted'), webhook('unwanted')]);
    const ear = await listening('/events?destination=wanted');
    const [unwanted, wanted] = [await say(['unwanted']), await say(['wanted', 'unwanted'])];
    await ear.hears('the wanted', ({ data }) => data.id === wanted.id);
    expect(ear.heard.map(({ data }) => data.id)).toEqual([wanted.deliveries[0]?.id, wanted.id]);
    expect(ear.text()).not.toContain(unwanted.id);
  });
});

describe('a position', () => {
  test.each(['banana', '12', '12.dl 1', '-1.', '123456789012345678901.'])(
    'like %j is refused, and what to do is said',
    async (lastEventId) => {
      const { status, problem } = await listen('/events', { lastEventId });
      expect([status, problem.errors]).toEqual([
        400,
        [{ pointer: '', parameter: 'last-event-id', detail: expect.stringMatching(/leave the header out/) }],
      ]);
    },
  );

  test('of another database is said to be unknown, and the stream begins anew', async () => {
    await webhook('ops');
    const broadcast = await say(['ops']);
    const lastEventId = '999999999999.dl_1';
    const [all, one] = await Promise.all([
      listening('/events', { lastEventId }),
      listening(`/broadcasts/${broadcast.id}/events`, { lastEventId }),
    ]);
    // What is said before the stream has begun anew is no news to it.
    await all.hears('the reset', ({ event }) => event === 'stream.reset');
    const later = await say(['ops']);
    await all.hears('what comes later', ({ data }) => data.id === later.id);
    expect(all.heard[0]?.event).toBe('stream.reset');
    await one.hears('the broadcast', ({ data }) => data.id === broadcast.id);
    expect(one.heard[0]?.event).toBe('stream.reset');
    expect(Number.parseInt(all.lastId(), 10)).toBeLessThan(999_999_999_999);
  });
});

const keyWith = async (scope: string) => (await ask('POST', '/keys', { name: 'listener', scopes: [scope] })).body;

describe('keys', () => {
  test('that may not read are refused', async () => {
    const { key } = await keyWith('send');
    expect((await listen('/events', { key })).status).toBe(403);
  });

  test('that are withdrawn end their streams', async () => {
    const { id, key } = await keyWith('read');
    const ear = await listening('/events', { key });
    await ask('DELETE', `/keys/${id}`);
    await until('the stream to end', ear.ended);
  });
});

test('what cannot be shown is left out, and everybody is told what comes behind it', async () => {
  await webhook('ops');
  await webhook('odd');
  const one = await listening();
  const begun = one.lastId();
  // As a newer version might have written it.
  const policy = '{"maxAttempts": "many"}';
  await here.parts.db.query(`update destinations set policy = $1, updated_at = now() where name = 'odd'`, [policy]);
  try {
    const { id } = await say(['ops']);
    await one.hears('what came behind it', ({ data }) => data.id === id);
    const other = await listen('/events', { lastEventId: begun });
    await other.hears('what came behind it', ({ data }) => data.id === id);
    const next = await say(['ops']);
    for (const ear of [one, other]) await ear.hears('the next', ({ data }) => data.id === next.id);
    expect([...one.heard, ...other.heard].filter(({ data }) => data.name === 'odd')).toEqual([]);
  } finally {
    await here.parts.db.query(`delete from destinations where name = 'odd'`);
  }
});

test('a silent stream says every 15 seconds that it lives, and how far it is', async () => {
  await webhook('ops');
  const ear = await listening('/events?destination=nobody');
  const begun = ear.lastId();
  await say(['ops']);
  await until('a heartbeat', () => /\n: .*\nid: .*\n\n$/.test(ear.text()));
  expect(ear.heard).toEqual([]);
  expect(Number.parseInt(ear.lastId(), 10)).toBeGreaterThan(Number.parseInt(begun, 10));
});

test('a client that does not read costs little, and reads the newest of everything later', async () => {
  await webhook('ops');
  const sockets: Socket[] = [];
  const remember = (socket: Socket) => sockets.push(socket);
  here.app.server.on('connection', remember);
  const slow = connect(Number(new URL(url).port), '127.0.0.1');
  slow.write(`GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${masterKey}\r\n\r\n`);
  await once(slow, 'data');
  slow.pause();
  here.app.server.off('connection', remember);

  const body = 'x'.repeat(30_000);
  const wanted = new Set<string>();
  for (let n = 0; n < 20; n++) {
    const batch = Array.from({ length: 50 }, () =>
      intent({ message: { title: 'Long', body, severity: 'info' } } as never),
    );
    await accept(here.parts.db, batch);
    for (const { id } of batch) wanted.add(id);
  }
  const [socket] = sockets as [Socket];
  await until('the line to be full', () => socket.writableNeedDrain);
  // What the process keeps for it is an event or two, of the thirty megabytes that there are.
  expect(socket.writableLength).toBeLessThan(200_000);

  let rest = '';
  slow.setEncoding('utf8').on('data', (piece) => {
    rest += piece;
    for (const [, id] of rest.matchAll(/"id":"(bc_[a-z0-9]+)"/g)) wanted.delete(id ?? '');
    rest = rest.slice(-100);
  });
  slow.resume();
  await until('everything to be told', () => wanted.size === 0);
  slow.destroy();
});

describe('a process', () => {
  test('has room for 200 streams, refuses the next, and takes it when one has gone', async () => {
    await webhook('ops');
    await withSecondApp(async (_, at) => {
      const many: Ear[] = [];
      for (let n = 0; n < 10; n++) {
        const { key } = await keyWith('read');
        many.push(...(await Promise.all(Array.from({ length: 20 }, () => listening('/events', { at, key })))));
      }
      const { status, headers, problem } = await listen('/events', { at });
      expect([status, headers['retry-after'], problem.type]).toEqual([
        503,
        '10',
        'urn:tocsin:problem:too-many-streams',
      ]);
      const broadcast = await say(['ops']);
      await Promise.all(many.map((ear) => ear.hears('it', ({ data }) => data.id === broadcast.id)));
      many[0]?.cut();
      await until('a place', async () => (await listen('/events', { at })).status === 200);
    });
  });

  test('gives one key 20 of them, and another key one more', async () => {
    await withSecondApp(async (_, at) => {
      const { key } = await keyWith('read');
      const many = await Promise.all(Array.from({ length: 20 }, () => listening('/events', { at, key })));
      const { status, headers, problem } = await listen('/events', { at, key });
      expect([status, headers['retry-after'], problem.type]).toEqual([
        429,
        '10',
        'urn:tocsin:problem:too-many-streams',
      ]);
      expect(problem.detail).toContain('20 streams');
      expect((await listen('/events', { at })).status).toBe(200);
      many[0]?.cut();
      await until('a place', async () => (await listen('/events', { at, key })).status === 200);
    });
  });

  test('that ends ends its streams at once, and who comes back has missed nothing', async () => {
    await webhook('ops');
    const { ear, stuck } = await withSecondApp(async (app, at) => {
      const ear = await listening('/events', { at });
      const stuck = connect(Number(new URL(at).port), '127.0.0.1');
      stuck.write(`GET /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${masterKey}\r\n\r\n`);
      await once(stuck, 'data');
      let isClosed = false;
      const closing = app.close().then(() => {
        isClosed = true;
      });
      // A client that takes nothing is cut after two minutes, and this must not wait for it.
      await until('the application to close', () => isClosed);
      await closing;
      return { ear, stuck };
    });
    await until('the stream to end', ear.ended);
    stuck.destroy();
    const meanwhile = await say(['ops']);
    const again = await listening('/events', { lastEventId: ear.lastId() });
    await again.hears('what was missed', ({ data }) => data.id === meanwhile.id);
  });
});

async function withSecondApp<T>(work: (app: App, at: string) => Promise<T>): Promise<T> {
  const app = await buildApp(here.parts);
  try {
    return await work(app, await app.listen({ host: '127.0.0.1', port: 0 }));
  } finally {
    await app.close();
  }
}
