import { readFile } from 'node:fs/promises';
import { afterAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { buildApp } from '../../src/api/app.ts';
import { describeApi } from '../../src/api/describe.ts';
import { openDatabase } from '../../src/ledger/database.ts';
import { masterKey, message, world } from './world.ts';

const here = world({
  reachQueue: async () => {
    if (queueIsAway) throw new Error('away');
  },
});
const { ask } = here;
let queueIsAway = false;

describe('every refusal is a problem', () => {
  const json = { 'content-type': 'application/json' };

  test.each<[string, string, string, unknown, Record<string, string>, number, string]>([
    ['a path that leads nowhere', 'GET', '/nowhere', undefined, {}, 404, 'not-found'],
    ['a path that is no URL', 'GET', '/broadcasts/%zz', undefined, {}, 400, 'invalid-request'],
    ['a method that the path does not know', 'PUT', '/broadcasts/bc_1', undefined, {}, 405, 'method-not-allowed'],
    ['a body that is not JSON', 'POST', '/broadcasts', '{"message":', json, 400, 'malformed-json'],
    ['a body that is not UTF-8', 'POST', '/broadcasts', Buffer.from([0x22, 0xff, 0x22]), json, 400, 'malformed-json'],
    ['a body that reaches for a prototype', 'POST', '/broadcasts', '{"__proto__":{}}', json, 400, 'invalid-request'],
    ['a body without end', 'POST', '/broadcasts', `${'['.repeat(1e5)}${']'.repeat(1e5)}`, json, 400, 'invalid-request'],
    [
      'a body of another type',
      'POST',
      '/broadcasts',
      'a=b',
      { 'content-type': 'text/plain' },
      415,
      'unsupported-media-type',
    ],
    ['a body beyond all measure', 'POST', '/broadcasts', `"${'x'.repeat(1024 * 1024)}"`, json, 413, 'too-large'],
    ['a broadcast that does not exist', 'GET', '/broadcasts/bc_1', undefined, {}, 404, 'not-found'],
    ['a NUL where the database takes none', 'GET', '/broadcasts?topic=%00', undefined, {}, 400, 'invalid-request'],
  ])('%s', async (_, method, path, body, headers, status, code) => {
    const answer = await ask(method, path, body, { 'x-correlation-id': 'mine', ...headers });
    expect([answer.status, answer.headers['content-type']]).toEqual([status, 'application/problem+json']);
    expect(answer.body).toMatchObject({ type: `urn:tocsin:problem:${code}`, status, correlationId: 'mine' });
    if (status === 405) expect(answer.headers.allow).toMatch(/GET/);
  });
});

describe('a body that is no JSON, or none that is taken', () => {
  const post = (body: string) => ask('POST', '/broadcasts', body, { 'content-type': 'application/json' });

  test.each([
    ['{"message": {"title": "x",}}', 'breaks at line 1, column 27'],
    ['{\n  "message": {\n    title: "x"\n}}', 'breaks at line 3, column 5'],
    ['{"message":', 'ends too early'],
    ['{"message": "half a wor', 'ends too early'],
    ['hello', 'Look for'],
    ["{'message': 1}", 'names and strings need double quotes'],
  ])('%j is told where it breaks, as far as is known', async (body, where) => {
    const answer = await post(body);
    expect([answer.status, answer.body.detail]).toEqual([400, expect.stringContaining(where)]);
    expect(answer.body.detail).not.toMatch(/token|expected/i);
  });

  test('a secret beside the flaw is not repeated', async () => {
    expect((await post('{"secrets": {"token": xoxb-123}}')).text).not.toContain('xoxb');
  });

  test.each([
    ['{"message": {"title": "x", "__proto__": {"a": 1}}}', '/message/__proto__'],
    ['{"metadata": {"constructor": {"prototype": {}}}}', '/metadata/constructor/prototype'],
    ['{"__proto__": 1}', '/__proto__'],
  ])('%s is refused with its place', async (body, pointer) => {
    const answer = await post(body);
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([400, pointer]);
    expect(answer.body.detail).toContain('leave it out');
  });

  test('a byte order mark before it does no harm', async () => {
    expect((await post('\ufeff{}')).body.errors[0].pointer).toBe('/message');
  });
});

test('the documentation is served whole by this server', async () => {
  const page = await ask('GET', '/docs/', undefined, { authorization: '' });
  expect(page.text).toContain('swagger-ui');
  expect(page.headers['content-security-policy']).toContain("default-src 'self'");
  // It would have browsers ask for all of it by https, which this server does not speak.
  expect(page.headers['content-security-policy']).not.toContain('upgrade-insecure-requests');
  const links = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? '');
  expect(links.length).toBeGreaterThan(2);
  for (const link of links) {
    expect(link).not.toMatch(/^(https?:)?\/\//);
    const path = new URL(link, 'http://localhost/docs/').pathname;
    expect([link, (await ask('GET', path, undefined, { authorization: '' })).status]).toEqual([link, 200]);
  }
});

test('openapi.yaml is in step with the routes, here and where it is served', async () => {
  const written = await readFile(new URL('../../openapi.yaml', import.meta.url), 'utf8');
  expect(await describeApi()).toBe(written);
  const served = await ask('GET', '/openapi.yaml', undefined, { authorization: '' });
  expect(served.headers['content-type']).toMatch(/yaml/);
  expect(served.text).toBe(written);
});

test('a body that may be left out is described so', async () => {
  const { paths } = parse(await describeApi());
  const required = (path: string, method = 'post') => paths[path][method].requestBody.required === true;
  for (const path of ['cancel', 'retract', 'retry'].map((verb) => `/broadcasts/{id}/${verb}`)) {
    expect([path, required(path)]).toEqual([path, false]);
    expect([path, (await ask('POST', path.replace('{id}', 'bc_1'))).status]).toEqual([path, 404]);
  }
  for (const path of ['pause', 'resume', 'test'].map((verb) => `/destinations/{name}/${verb}`)) {
    expect([path, required(path)]).toEqual([path, false]);
  }
  expect(required('/broadcasts')).toBe(true);
  expect(required('/destinations/{name}', 'put')).toBe(true);
});

describe('what is wrong everywhere', () => {
  test('is told of a hundred places, with how many there are', async () => {
    const unknown = Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`x${n}`, 1]));
    const { status, body, text } = await ask('POST', '/broadcasts', { message, destinations: ['one'], ...unknown });
    expect([status, body.errors.length]).toEqual([400, 100]);
    expect(body.detail).toContain('and 4999 more; the first 100 are listed');
    expect(text.length).toBeLessThan(50_000);
  });

  test('is not even looked for past 10,000 values', async () => {
    for (const destinations of [
      Array.from({ length: 200_000 }, () => 1),
      Array.from({ length: 5_001 }, () => ({ a: 1 })),
    ]) {
      const { status, body } = await ask('POST', '/broadcasts', { message, destinations });
      expect([status, body.errors]).toEqual([
        400,
        [{ pointer: '', detail: 'must not have more than 10000 values in all' }],
      ]);
    }
  });
});

describe('readiness', () => {
  test('goes on without the queue, and names it', async () => {
    expect((await ask('GET', '/readyz')).body).toEqual({ status: 'ready', unreachable: [] });
    queueIsAway = true;
    const answer = await ask('GET', '/readyz');
    queueIsAway = false;
    expect([answer.status, answer.body]).toEqual([200, { status: 'degraded', unreachable: ['queue'] }]);
  });
});

test('metrics tell how many deliveries are open, where, and how old the oldest is', async () => {
  await here.webhook('one');
  await ask('POST', '/broadcasts', { message: { ...message, severity: 'error' }, destinations: ['one'] });
  const { text, headers } = await ask('GET', '/metrics', undefined, { authorization: '' });
  expect(headers['content-type']).toMatch(/^text\/plain/);
  expect(text).toContain('tocsin_deliveries{destination="one",state="pending"} 1');
  expect(text).toContain('tocsin_broadcasts_accepted_total{severity="error"} 1');
  expect(text).toMatch(/tocsin_oldest_open_delivery_age_seconds 0\.\d+/);
  expect(text).toMatch(
    /tocsin_http_request_duration_seconds_count\{route="\/broadcasts",method="POST",status="202"\} 1/,
  );
  expect(text).toContain('tocsin_ledger_up 1');
});

describe('while the database is away', () => {
  const away = openDatabase('postgres://127.0.0.1:9/nowhere');
  afterAll(() => away.end());

  test('everything that needs it answers 503 and when to come back; the process itself lives', async () => {
    const app = await buildApp({ ...here.parts, db: away });
    const headers = { authorization: `Bearer ${masterKey}` };
    const payload = { message, destinations: ['one'] };
    for (const request of [
      { method: 'POST', url: '/broadcasts', payload },
      { method: 'POST', url: '/broadcasts', payload, headers: { 'idempotency-key': 'x' } },
      { method: 'GET', url: '/broadcasts' },
      { method: 'GET', url: '/readyz' },
      { method: 'GET', url: '/destinations', headers: { authorization: 'Bearer some-key' } },
    ] as const) {
      const answer = await app.inject({
        ...request,
        headers: { ...headers, ...('headers' in request && request.headers) },
      });
      expect([request.url, answer.statusCode]).toEqual([request.url, 503]);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      expect(answer.headers['content-type']).toBe('application/problem+json');
    }
    expect((await app.inject('/readyz')).json().unreachable).toEqual(['database']);
    expect((await app.inject('/healthz')).statusCode).toBe(200);
    expect((await app.inject('/metrics')).body).toContain('tocsin_ledger_up 0');
    await app.close();
  });
});
