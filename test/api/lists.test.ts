import { beforeAll, describe, expect, test } from 'vitest';
import { accept } from '../../src/ledger/accept.ts';
import { intent } from '../support/ledger.ts';
import { message, world } from './world.ts';

const here = world();
const ids: string[] = [];

beforeAll(async () => {
  await here.webhook('one');
  await here.webhook('two');
  for (let n = 0; n < 5; n += 1) {
    const { body } = await here.ask('POST', '/broadcasts', {
      message: { ...message, severity: n % 2 ? 'error' : 'info' },
      destinations: n === 4 ? ['one', 'two'] : ['one'],
      ...(n > 2 && { topic: 'INC-7' }),
    });
    ids.unshift(body.id);
  }
  await here.parts.db.query(
    `update deliveries set state = 'dead', due_at = null, ended_at = now() where broadcast_id = $1`,
    [ids[4]],
  );
});

const found = async (query: string) =>
  (await here.ask('GET', `/broadcasts?${query}`)).body.items.map(({ id }: { id: string }) => id);

describe('broadcasts', () => {
  test('are listed newest first, a page at a time, each once', async () => {
    const seen: string[] = [];
    let query = 'limit=2';
    for (let pages = 0; pages < 3; pages += 1) {
      const { status, body } = await here.ask('GET', `/broadcasts?${query}`);
      expect(status).toBe(200);
      seen.push(...body.items.map(({ id }: { id: string }) => id));
      query = `limit=2&cursor=${body.nextCursor}`;
      if (pages === 2) expect(body.nextCursor).toBeNull();
    }
    expect(seen).toEqual(ids);
  });

  test('are found by topic, destination, severity, state and time', async () => {
    expect(await found('topic=INC-7')).toEqual(ids.slice(0, 2));
    expect(await found('destination=two')).toEqual([ids[0]]);
    expect(await found('severity=error')).toEqual([ids[1], ids[3]]);
    expect(await found('severity=error&severity=info')).toEqual(ids);
    expect(await found('state=converging')).toEqual(ids);
    expect(await found('state=delivered')).toEqual([]);
    expect(await found('since=2999-01-01T00:00:00Z')).toEqual([]);
    expect(await found('until=2999-01-01T00:00:00Z')).toEqual(ids);
  });

  test('have their deliveries with them', async () => {
    const { body } = await here.ask('GET', '/broadcasts?limit=1');
    expect(body.items[0].deliveries.map((delivery: { destination: string }) => delivery.destination)).toEqual([
      'one',
      'two',
    ]);
  });
});

test('deliveries are found by state, destination and broadcast, and one of them has its attempts', async () => {
  const { body } = await here.ask('GET', '/deliveries?state=dead');
  expect(body.items).toMatchObject([{ broadcastId: ids[4], state: 'dead', nextAttemptAt: null }]);
  expect((await here.ask('GET', `/deliveries?broadcast=${ids[0]}`)).body.items).toHaveLength(2);
  expect((await here.ask('GET', '/deliveries?destination=two')).body.items).toHaveLength(1);

  const { id } = body.items[0];
  await here.parts.db.query(
    `insert into attempts (delivery_id, n, action, revision, started_at, finished_at, outcome, error)
     values ($1, 1, 'deliver', 1, now(), now(), 'permanent', '{"class":"permanent","reason":"gone","message":"It is gone.","status":410}')`,
    [id],
  );
  const one = await here.ask('GET', `/deliveries/${id}`);
  expect(one.body.attempts).toEqual([
    {
      n: 1,
      action: 'deliver',
      revision: 1,
      startedAt: expect.any(String),
      finishedAt: expect.any(String),
      outcome: 'permanent',
      error: { class: 'permanent', reason: 'gone', message: 'It is gone.', status: 410 },
    },
  ]);
  expect((await here.ask('GET', '/deliveries/dl_none')).status).toBe(404);
});

test('of very many attempts the newest are shown, and how many are left out', async () => {
  const { id } = (await here.ask('GET', '/deliveries?destination=two')).body.items[0];
  const write = (from: number, to: number) =>
    here.parts.db.query(
      `insert into attempts (delivery_id, n, action, revision, started_at, finished_at, outcome)
       select $1, n, 'deliver', 1, now(), now(), 'rate_limited' from generate_series($2::int, $3::int) n`,
      [id, from, to],
    );
  await write(1, 500);
  const all = (await here.ask('GET', `/deliveries/${id}`)).body;
  expect([all.attempts.length, all.attempts[0].n, all.attemptsLeftOut]).toEqual([500, 1, undefined]);
  await write(501, 600);
  const newest = (await here.ask('GET', `/deliveries/${id}`)).body;
  expect([newest.attempts.length, newest.attempts[0].n, newest.attempts[499].n]).toEqual([500, 101, 600]);
  expect(newest.attemptsLeftOut).toBe(100);
});

test('a wrong query parameter is refused by name', async () => {
  const wrong: [string, string][] = [
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['limit=many', 'limit'],
    ['cursor=nonsense', 'cursor'],
    ['state=happy', 'state'],
    ['since=yesterday', 'since'],
    ['colour=red', 'colour'],
  ];
  for (const [query, parameter] of wrong) {
    const { status, body } = await here.ask('GET', `/broadcasts?${query}`);
    expect([query, status, body.errors?.[0]?.parameter]).toEqual([query, 400, parameter]);
    expect(body.errors[0].pointer).toBe('');
  }
});

test('destinations and audiences are paged newest first, also when the place where a page ended is removed', async () => {
  for (const name of ['a', 'b', 'c']) await here.ask('PUT', `/audiences/${name}`, { destinations: ['one'] });
  const names = (body: { items: { name: string }[] }) => body.items.map(({ name }) => name);
  const first = await here.ask('GET', '/audiences?limit=2');
  expect(names(first.body)).toEqual(['c', 'b']);
  await here.ask('DELETE', '/audiences/b');
  const second = await here.ask('GET', `/audiences?limit=2&cursor=${first.body.nextCursor}`);
  expect(names(second.body)).toEqual(['a']);
  expect(second.body.nextCursor).toBeNull();

  const destinations = await here.ask('GET', '/destinations?limit=1');
  expect(names(destinations.body)).toEqual(['two']);
  expect(names((await here.ask('GET', `/destinations?cursor=${destinations.body.nextCursor}`)).body)).toEqual(['one']);
});

test("a cursor of another list is refused, and the answer says where to get this list's", async () => {
  for (let n = 0; n < 2; n += 1) await here.ask('POST', '/keys', { name: 'a key', scopes: ['read'] });
  const lists = ['broadcasts', 'deliveries', 'destinations', 'audiences', 'keys'];
  for (const from of lists) {
    const cursor = (await here.ask('GET', `/${from}?limit=1`)).body.nextCursor;
    expect([from, cursor]).toEqual([from, expect.any(String)]);
    for (const to of lists) {
      const { status, body } = await here.ask('GET', `/${to}?cursor=${cursor}`);
      expect([from, to, status]).toEqual([from, to, from === to ? 200 : 400]);
      if (from === to) continue;
      expect(body.errors[0]).toMatchObject({ parameter: 'cursor', detail: expect.stringContaining(`GET /${to}`) });
    }
  }
});

describe('a page of much ends early, and the next one goes on behind it', () => {
  const many = 90;
  const names = Array.from({ length: 6 }, (_, n) => `heavy-${n}`);

  /** Every page, from the first to the one without a next. */
  async function pages(path: string) {
    const all: { items: { id?: string; name?: string }[]; text: string }[] = [];
    for (let cursor = ''; ; ) {
      const { status, body, text } = await here.ask('GET', `${path}${cursor && `&cursor=${cursor}`}`);
      expect(status).toBe(200);
      all.push({ items: body.items, text });
      if (body.nextCursor === null) return all;
      cursor = body.nextCursor;
    }
  }

  beforeAll(async () => {
    const body = 'x'.repeat(30_000);
    await accept(
      here.parts.db,
      Array.from({ length: many }, () =>
        intent({ message: { title: 'Long', body, severity: 'info' }, topic: 'long', to: ['one', 'two'] }),
      ),
    );
    for (const name of names) await here.webhook(name);
    const { db } = here.parts;
    await db.query(
      `update destinations set settings = settings || jsonb_build_object('x', repeat('x', 900000)) where name = any($1)`,
      [names],
    );
    await db.query(`update deliveries set last_error = jsonb_build_object('class', 'transient', 'reason', 'x', 'message',
      repeat('x', 30000), 'status', null) where topic = 'long'`);
    await db.query(`insert into audiences (name, destinations) select 'wide-' || g, array_fill(repeat('x', 63), array[500])
      from generate_series(1, 150) g`);
  });

  test.each([
    ['/broadcasts?limit=200&topic=long', many],
    ['/deliveries?limit=200&destination=two&since=2020-01-01T00:00:00Z', undefined],
    ['/destinations?limit=200', undefined],
    ['/audiences?limit=200', undefined],
  ])('%s', async (path, count) => {
    const all = await pages(path);
    const keys = all.flatMap(({ items }) => items.map(({ id, name }) => id ?? name));
    expect(all.length).toBeGreaterThan(1);
    expect(new Set(keys).size).toBe(keys.length);
    if (count) expect(keys).toHaveLength(count);
    if (path.startsWith('/destinations')) expect(keys).toEqual(expect.arrayContaining([...names, 'one', 'two']));
    for (const { items, text } of all) {
      expect(items.length).toBeGreaterThan(0);
      // Past the limit by no more than the one that brought it there.
      expect(text.length).toBeLessThan(2_000_000 + 1_000_000);
    }
  });
});
