import { beforeAll, describe, expect, test } from 'vitest';
import { Destination } from '../../src/api/destination-view.ts';
import { Broadcast, DeliveryWithAttempts } from '../../src/api/schemas.ts';
import { message, world } from './world.ts';

const here = world();
const { ask, count, webhook } = here;

beforeAll(async () => {
  await webhook('one');
  await webhook('two', { required: false });
  await webhook('three');
  await ask('PUT', '/audiences/p1', { destinations: ['two', 'three'] });
});

const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

test('an accepted broadcast is answered with its whole representation, and is on record with what is due of each delivery', async () => {
  const answer = await ask(
    'POST',
    '/broadcasts',
    {
      message: { ...message, severity: 'critical' },
      destinations: ['one', { name: 'three', required: false }],
      topic: 'INC-1',
      metadata: { a: 'b' },
    },
    { 'x-correlation-id': 'abc-123' },
  );
  expect(answer.status).toBe(202);
  expect(answer.headers.location).toBe(`/broadcasts/${answer.body.id}`);
  expect(answer.headers['x-correlation-id']).toBe('abc-123');
  expect(answer.body).toEqual({
    id: expect.stringMatching(/^bc_[0-9a-z]{26}$/),
    state: 'converging',
    revision: 1,
    retracted: false,
    summary: 'one pending, three pending',
    message: { ...message, severity: 'critical' },
    topic: 'INC-1',
    correlationId: 'abc-123',
    metadata: { a: 'b' },
    createdAt: expect.stringMatching(time),
    expiresAt: null,
    convergedAt: null,
    deliveries: [
      {
        id: expect.stringMatching(/^dl_[0-9a-z]{26}$/),
        broadcastId: answer.body.id,
        destination: 'one',
        kind: 'webhook',
        required: true,
        state: 'pending',
        attempt: 0,
        maxAttempts: 5,
        nextAttemptAt: expect.stringMatching(time),
        revision: { desired: 1, confirmed: 0 },
        lastError: null,
        receipt: null,
        escalatedTo: null,
        createdAt: expect.stringMatching(time),
        updatedAt: expect.stringMatching(time),
      },
      expect.objectContaining({ destination: 'three', required: false }),
    ],
  });
  expect((await ask('GET', `/broadcasts/${answer.body.id}`)).body).toEqual(answer.body);
});

test('an audience and a list are one set of destinations, and the list has the last word on what is required', async () => {
  const { status, body } = await ask('POST', '/broadcasts', {
    message,
    destinations: [{ name: 'two', required: true }, 'one', 'one'],
    audience: 'p1',
  });
  expect(status).toBe(202);
  expect(body.message.severity).toBe('info');
  expect(body.deliveries.map(({ destination, required }: Record<string, unknown>) => [destination, required])).toEqual([
    ['two', true],
    ['one', true],
    ['three', true],
  ]);
});

const valid = { message, destinations: ['one'] };

describe('what is wrong is refused with its place, and nothing is recorded', () => {
  test.each<[string, unknown, number, string]>([
    ['no body', undefined, 400, ''],
    ['a list for a body', [], 400, ''],
    ['no message', { destinations: ['one'] }, 400, '/message'],
    ['no title', { message: {}, destinations: ['one'] }, 400, '/message/title'],
    ['a deadline in the year 10000 of UTC', { ...valid, expiresAt: '9999-12-31T23:59:59-12:00' }, 400, '/expiresAt'],
    ['an empty title', { ...valid, message: { title: '' } }, 400, '/message/title'],
    ['a title of nothing but space', { ...valid, message: { title: ' \t\u00a0\u200b ' } }, 400, '/message/title'],
    ['a title of two lines', { ...valid, message: { title: 'P1\r\nBcc: all' } }, 400, '/message/title'],
    ['a title with a line separator', { ...valid, message: { title: 'P1\u2028down' } }, 400, '/message/title'],
    ['a title that rings a bell', { ...valid, message: { title: 'P1\u0007' } }, 400, '/message/title'],
    ['a title of 257 characters', { ...valid, message: { title: 'x'.repeat(257) } }, 400, '/message/title'],
    [
      'a body over 32 KiB in UTF-8',
      { ...valid, message: { title: 'x', body: 'é'.repeat(16385) } },
      400,
      '/message/body',
    ],
    ['an unknown severity', { ...valid, message: { title: 'x', severity: 'fatal' } }, 400, '/message/severity'],
    [
      '21 fields',
      { ...valid, message: { title: 'x', fields: Array(21).fill({ name: 'a', value: 'b' }) } },
      400,
      '/message/fields',
    ],
    [
      'a link to nowhere',
      { ...valid, message: { title: 'x', links: [{ text: 'a', url: 'javascript:alert(1)' }] } },
      400,
      '/message/links/0/url',
    ],
    ['an unknown property', { ...valid, mesage: 1 }, 400, '/mesage'],
    ['an unknown property deep inside', { ...valid, message: { title: 'x', 'a/b~c': 1 } }, 400, '/message/a~1b~0c'],
    ['neither destinations nor audience', { message }, 400, '/destinations'],
    ['an empty list', { message, destinations: [] }, 400, '/destinations'],
    [
      '2,001 destinations',
      { message, destinations: Array.from({ length: 2_001 }, (_, n) => `x-${n}`) },
      400,
      '/destinations',
    ],
    ['a destination that is a number', { message, destinations: [1] }, 400, '/destinations/0'],
    [
      'a destination with an unknown property',
      { message, destinations: [{ name: 'one', requird: true }] },
      400,
      '/destinations/0/requird',
    ],
    [
      'a repetition that disagrees',
      { message, destinations: ['one', { name: 'one', required: false }] },
      400,
      '/destinations/1',
    ],
    ['an unknown destination', { message, destinations: ['one', 'nobody'] }, 422, '/destinations/1'],
    ['an unknown audience', { message, audience: 'nobody' }, 422, '/audience'],
    ['an empty topic', { ...valid, topic: '' }, 400, '/topic'],
    ['a topic that is too long', { ...valid, topic: 'x'.repeat(256) }, 400, '/topic'],
    ['a deadline in the past', { ...valid, expiresAt: '2020-01-01T00:00:00.000Z' }, 400, '/expiresAt'],
    ['a deadline without a zone', { ...valid, expiresAt: '2999-01-01T00:00:00' }, 400, '/expiresAt'],
    ['metadata that is no string', { ...valid, metadata: { a: 1 } }, 400, '/metadata/a'],
    [
      'too much metadata',
      { ...valid, metadata: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`k${n}`, ''])) },
      400,
      '/metadata',
    ],
    ['a callback to a file', { ...valid, callback: { url: 'file:///etc/passwd' } }, 400, '/callback/url'],
    [
      'a callback for an unknown event',
      { ...valid, callback: { url: 'https://example.com', events: ['x'] } },
      400,
      '/callback/events/0',
    ],
    [
      'a callback secret that is none',
      { ...valid, callback: { url: 'https://example.com', secret: 'hush' } },
      400,
      '/callback/secret',
    ],
    [
      'a callback secret that is too short',
      { ...valid, callback: { url: 'https://example.com', secret: `whsec_${Buffer.alloc(23).toString('base64')}` } },
      400,
      '/callback/secret',
    ],
    ['a NUL character', { ...valid, metadata: { a: 'b\0c' } }, 400, '/metadata/a'],
    ['half a surrogate pair', { ...valid, message: { title: 'x\ud800' } }, 400, '/message/title'],
  ])('%s', async (_, body, status, pointer) => {
    const before = [await count('broadcasts'), await count('deliveries')];
    const answer = await ask('POST', '/broadcasts', body);
    expect(answer.status).toBe(status);
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(answer.body).toMatchObject({
      type: expect.stringMatching(/^urn:tocsin:problem:/),
      title: expect.any(String),
      status,
      detail: expect.any(String),
      correlationId: answer.headers['x-correlation-id'],
    });
    expect(answer.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
    expect([await count('broadcasts'), await count('deliveries')]).toEqual(before);
  });

  test('an idempotency key that is empty or too long', async () => {
    const before = await count('broadcasts');
    for (const key of ['', 'x'.repeat(256), 'é']) {
      const answer = await ask('POST', '/broadcasts', valid, { 'idempotency-key': key });
      expect(answer.status).toBe(400);
      expect(answer.body.errors[0]).toMatchObject({ pointer: '', parameter: 'idempotency-key' });
    }
    expect(await count('broadcasts')).toBe(before);
  });
});

test("a callback's secret is in no answer, and not readable in the database", async () => {
  const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
  const callback = { url: 'http://127.0.0.1:9/hook', events: ['broadcast.converged', 'delivery.dead'], secret };
  const answer = await ask('POST', '/broadcasts', { ...valid, callback });
  expect(answer.status).toBe(202);
  const read = await ask('GET', `/broadcasts/${answer.body.id}`);
  expect(answer.text + read.text).not.toContain(secret);
  const { rows } = await here.parts.db.query('select * from broadcasts where id = $1', [answer.body.id]);
  expect(rows[0].callback).toEqual({ url: callback.url, events: callback.events });
  expect(JSON.stringify(rows[0]) + rows[0].callback_secret.toString('latin1')).not.toContain(secret);
});

test('a correlation id that could break a log is replaced by one of ours', async () => {
  for (const bad of ['a b', 'x'.repeat(129), '"quoted"']) {
    const { body, headers } = await ask('POST', '/broadcasts', valid, { 'x-correlation-id': bad });
    expect(body.correlationId).toMatch(/^req_/);
    expect(headers['x-correlation-id']).toBe(body.correlationId);
  }
});

test('a traceparent is kept, and a malformed one is as good as none', async () => {
  const good = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const stored = async (traceparent: string) => {
    const { body } = await ask('POST', '/broadcasts', valid, { traceparent });
    const { rows } = await here.parts.db.query('select traceparent from broadcasts where id = $1', [body.id]);
    return rows[0].traceparent;
  };
  expect(await stored(good)).toBe(good);
  expect(await stored('nonsense')).toBeNull();
});

describe('waiting for a broadcast', () => {
  async function conclude(id: string): Promise<void> {
    await here.parts.db.query(`update broadcasts set state = 'failed', converged_at = now() where id = $1`, [id]);
    await here.parts.db.query(`select pg_notify('tocsin_broadcast', $1)`, [id]);
  }

  test('answers as soon as it has converged', async () => {
    const { body } = await ask('POST', '/broadcasts', valid);
    const waiting = ask('GET', `/broadcasts/${body.id}?wait=30`);
    await conclude(body.id);
    expect((await waiting).body).toMatchObject({
      id: body.id,
      state: 'failed',
      convergedAt: expect.stringMatching(time),
    });
    expect((await ask('GET', `/broadcasts/${body.id}?wait=30`)).body.state).toBe('failed');
  });

  test('answers what there is when the time is up', async () => {
    const { body } = await ask('POST', '/broadcasts', valid);
    expect((await ask('GET', `/broadcasts/${body.id}?wait=0.05`)).body.state).toBe('converging');
  });

  test('is bounded by a minute', async () => {
    const { body } = await ask('POST', '/broadcasts', valid);
    for (const wait of ['61', '-1', 'soon']) {
      const answer = await ask('GET', `/broadcasts/${body.id}?wait=${wait}`);
      expect(answer.status).toBe(400);
      expect(answer.body.errors[0].parameter).toBe('wait');
    }
  });

  test('is over at once for a broadcast that does not exist', async () => {
    expect((await ask('GET', '/broadcasts/bc_none?wait=30')).status).toBe(404);
  });
});

test('2,000 destinations are told in one request, listed or as an audience', async () => {
  const names = Array.from({ length: 2_000 }, (_, n) => `wide-${n}`);
  await here.parts.db.query(
    `insert into destinations (name, kind, settings, secrets, policy)
     select n, kind, settings, secrets, policy from destinations, unnest($1::text[]) as g (n) where name = 'one'`,
    [names],
  );
  expect((await ask('PUT', '/audiences/wide', { destinations: names })).status).toBe(201);
  for (const where of [{ destinations: names }, { audience: 'wide' }]) {
    const { status, body } = await ask('POST', '/broadcasts', { message, ...where });
    expect(status).toBe(202);
    expect(body.deliveries.map(({ destination }: { destination: string }) => destination)).toEqual(names);
    const { rows } = await here.parts.db.query('select count(*)::int as n from deliveries where broadcast_id = $1', [
      body.id,
    ]);
    expect(rows).toEqual([{ n: 2_000 }]);
  }
});

test('what is answered has the shape that is described', async () => {
  const { body } = await ask('POST', '/broadcasts', { ...valid, callback: { url: 'http://127.0.0.1:9/' } });
  expect(Broadcast.parse(body)).toEqual(body);
  const delivery = await ask('GET', `/deliveries/${body.deliveries[0].id}`);
  expect(DeliveryWithAttempts.parse(delivery.body)).toEqual(delivery.body);
  const destination = await ask('GET', '/destinations/one');
  expect(Destination.parse(destination.body)).toEqual(destination.body);
});

test('a preview says what each destination would be sent, and records nothing', async () => {
  const before = await count('broadcasts');
  const answer = await ask('POST', '/previews', { message, audience: 'p1' });
  expect(answer.status).toBe(200);
  expect(answer.body.previews).toMatchObject([
    {
      destination: 'two',
      kind: 'webhook',
      required: false,
      payload: { type: 'broadcast.message', data: { message: { title: message.title } } },
    },
    { destination: 'three', kind: 'webhook', required: true },
  ]);
  expect((await ask('POST', '/previews', { message, destinations: ['nobody'] })).body.errors[0].pointer).toBe(
    '/destinations/0',
  );
  expect(await count('broadcasts')).toBe(before);
});

test('of very many callbacks the newest hundred are shown', async () => {
  const { body } = await ask('POST', '/broadcasts', valid);
  await here.parts.db.query(
    `insert into deliveries (id, broadcast_id, role, destination, kind, event, required, priority, max_attempts, due_at)
     select 'dl_told_' || lpad(g::text, 3, '0'), $1, 'callback', 'callback:example.com', 'callback', '{"type": "broadcast.updated"}', false, 4, 10, now()
       from generate_series(1, 150) g order by g`,
    [body.id],
  );
  const { deliveries, callbacks } = (await ask('GET', `/broadcasts/${body.id}`)).body;
  expect([deliveries.length, callbacks.length]).toEqual([1, 100]);
  expect([callbacks[0].id, callbacks[99].id]).toEqual(['dl_told_051', 'dl_told_150']);
});
