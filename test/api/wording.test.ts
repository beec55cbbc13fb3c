import { beforeAll, describe, expect, test } from 'vitest';
import { type Answer, message, world } from './world.ts';

const here = world();
const { ask } = here;

beforeAll(async () => {
  await here.webhook('one');
});

/** How the library that checks the requests talks to programmers. */
const raw =
  /expected|, received|\bNaN\b|Invalid|too (small|big)|unrecognized|\bZod|<=|>=|undefined|ISO|regex|pattern|\[object/i;

function isReadable(sent: unknown, { status, body }: Answer): void {
  const about = JSON.stringify(sent)?.slice(0, 200);
  expect([about, status >= 400 && status < 500]).toEqual([about, true]);
  expect(body.detail, about).not.toMatch(raw);
  expect(body.detail, about).toMatch(/\w{2}/);
  for (const { pointer, parameter, detail } of body.errors ?? []) {
    expect(detail, about).not.toMatch(raw);
    expect(detail, about).toMatch(/\w \w/);
    expect([about, typeof (parameter ?? pointer)]).toEqual([about, 'string']);
  }
}

/** A body that is taken, for every operation that has one: all that can be said in it is said. */
const bodies: Record<string, object> = {
  createBroadcast: {
    message: {
      ...message,
      body: 'text',
      severity: 'error',
      fields: [{ name: 'a', value: 'b' }],
      links: [{ text: 'a', url: 'https://example.com' }],
    },
    destinations: ['one', { name: 'one', required: true }],
    audience: 'p1',
    topic: 'INC-1',
    callback: { url: 'https://example.com', events: ['delivery.dead'], secret: 'whsec_x' },
    expiresAt: '2999-01-01T00:00:00Z',
    metadata: { a: 'b' },
    crossLink: true,
  },
  reviseBroadcast: { message },
  cancelBroadcast: {},
  retractBroadcast: {},
  retryBroadcast: { states: ['dead'] },
  retryDelivery: {},
  retryDeliveries: {
    state: 'dead',
    destination: 'one',
    since: '2020-01-01T00:00:00Z',
    until: '2020-01-01T00:00:00Z',
    dryRun: true,
  },
  putDestination: {
    kind: 'webhook',
    settings: { url: 'https://example.com', headers: { a: 'b' } },
    secrets: { signingSecret: 'whsec_AAAA' },
    policy: {
      maxAttempts: 1,
      backoff: { baseMs: 1, maxMs: 1 },
      timeoutMs: 100,
      concurrency: 1,
      rateLimit: { max: 1, perMs: 1 },
      onUnknown: 'park',
    },
    required: true,
    fallback: 'one',
  },
  testDestination: { send: true },
  pauseDestination: { reason: 'why' },
  resumeDestination: {},
  putAudience: { destinations: ['one'] },
  createKey: { name: 'a', scopes: ['read'] },
};
bodies.previewBroadcast = bodies.createBroadcast as object;

const wrong: unknown[] = [null, true, 0, -1, 1.5, 1e300, '', 'x', 'y'.repeat(40_000), [], [null], [[]], {}, { odd: 1 }];

/** The same body with the wrong value in each of its places, one at a time, and with a property too many in each object. */
function* spoilt(value: unknown): Generator<unknown> {
  yield* wrong;
  if (value === null || typeof value !== 'object') return;
  if (!Array.isArray(value)) yield { ...value, 'no such thing': 1 };
  for (const [key, part] of Object.entries(value)) {
    if (!Array.isArray(value)) yield Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
    for (const bad of spoilt(part)) {
      if (Array.isArray(value)) yield value.with(Number(key), bad);
      else yield { ...value, [key]: bad };
    }
  }
}

interface Operation {
  operationId: string;
  method: string;
  path: string;
  parameters: string[];
  hasBody: boolean;
}

function operations(): Operation[] {
  type Described = {
    operationId: string;
    parameters?: { in: string; name: string }[];
    requestBody?: object;
  };
  const { paths } = here.app.swagger() as unknown as { paths: Record<string, Record<string, Described>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId, parameters = [], requestBody }]) => ({
      operationId,
      method: method.toUpperCase(),
      path: path.replace('{name}', 'one').replace('{id}', 'bc_1'),
      parameters: parameters.filter((each) => each.in === 'query').map(({ name }) => name),
      hasBody: requestBody !== undefined,
    })),
  );
}

describe('whatever is wrong is said in words that a person can follow', () => {
  test.each(Object.keys(bodies))('in the body of %s', async (operationId) => {
    const operation = operations().find((each) => each.operationId === operationId);
    if (!operation) throw new Error(`there is no ${operationId}`);
    let refused = 0;
    for (const body of spoilt(bodies[operationId])) {
      // What is not a JSON text for inject would be sent as it is.
      const answer = await ask(operation.method, operation.path, JSON.stringify(body), {
        'content-type': 'application/json',
      });
      // Some of what is tried is fine.
      if (answer.status < 400) continue;
      refused += 1;
      isReadable(body, answer);
    }
    expect(refused).toBeGreaterThan(10);
  });

  test.each<[string, object, object]>([
    ['slack', { channel: 'C0123456789', apiUrl: 'https://slack.com/api/' }, { token: 'xoxb-1' }],
    ['teams', { teamId: 'a', channelId: 'b', tokenUrl: 'https://example.com' }, { accessToken: 'a' }],
    ['teams', { teamId: 'a', channelId: 'b' }, { tenantId: 'a', clientId: 'b', clientSecret: 'c', refreshToken: 'd' }],
    ['teams-workflow', {}, { url: 'https://example.com' }],
    [
      'jira',
      { apiUrl: 'https://example.com', projectKey: 'OPS', issueType: 'Task' },
      { email: 'a@b.example', apiToken: 'a' },
    ],
    ['email', { from: 'a@b.example', to: ['a@b.example'] }, { smtpUrl: 'smtp://b.example' }],
    ['pagerduty', { apiUrl: 'https://example.com' }, { routingKey: 'R'.repeat(32) }],
  ])('in the settings and secrets of %s', async (kind, settings, secrets) => {
    const bodies = [
      ...[...spoilt(settings)].map((bad) => ({ kind, settings: bad, secrets })),
      ...[...spoilt(secrets)].map((bad) => ({ kind, settings, secrets: bad })),
    ];
    for (const body of bodies) {
      const answer = await ask('PUT', '/destinations/spoilt', body);
      if (answer.status >= 400) isReadable(body, answer);
    }
  });

  test('in every query parameter', async () => {
    const values = [
      '',
      'x',
      '-1',
      '1.5',
      '1e300',
      'Infinity',
      '[]',
      '2026-02-30T00:00:00Z',
      '2026-01-01T00:00:00+01:00',
      '%00',
      '%F0',
    ];
    const all = operations().filter(({ parameters }) => parameters.length > 0);
    expect(all.length).toBeGreaterThan(5);
    for (const { method, path, parameters } of all) {
      // A stream takes any destination, and its answer has no end.
      const spoilable = path.endsWith('/events') ? [] : parameters;
      const queries = spoilable.flatMap((name) => [
        ...values.map((value) => `${name}=${value}`),
        `${name}=1&${name}=2`,
        `${name}[a]=1`,
      ]);
      for (const query of [...queries, 'colour=red', '__proto__=1', 'constructor=1']) {
        const answer = await ask(method, `${path}?${query}`);
        if (answer.status === 200 || answer.status === 404) continue;
        isReadable(`${path}?${query}`, answer);
        expect([query, answer.body.errors?.[0]?.parameter]).toEqual([query, expect.stringMatching(/./)]);
      }
    }
  });

  test('for every operation that takes a body: none is left out here', () => {
    const taking = operations().filter(({ hasBody }) => hasBody);
    expect(taking.map(({ operationId }) => operationId).sort()).toEqual(Object.keys(bodies).sort());
  });
});

test.each<[string, string, unknown, string]>([
  ['GET', '/broadcasts?limit=many', undefined, 'limit: must be a whole number from 1 to 200'],
  ['GET', '/broadcasts?limit=0', undefined, 'limit: must be a whole number from 1 to 200'],
  ['GET', '/broadcasts/bc_1?wait=soon', undefined, 'wait: must be a number from 0 to 60'],
  ['GET', '/broadcasts?topic=a&topic=b', undefined, 'topic: must be one string, given once'],
  [
    'GET',
    '/deliveries?state=happy',
    undefined,
    'state: must be one of pending, sending, verifying, retrying, held, confirmed',
  ],
  ['GET', '/deliveries?state=dead&state=happy', undefined, 'state: must be one of pending'],
  ['GET', '/deliveries?since=yesterday', undefined, 'since: must be an RFC 3339 time with its zone, such as 2026'],
  ['GET', '/deliveries?since=2026-01-01T00:00:00+01:00', undefined, '(in a URL, + is written %2B)'],
  ['GET', '/destinations?colour=red', undefined, 'colour: is not known here: there is limit, cursor'],
  ['POST', '/broadcasts', { message, destinations: ['one'], metadata: [] }, '/metadata: must be an object'],
  ['POST', '/broadcasts', { message, destinations: [] }, '/destinations: must not be empty'],
  ['POST', '/broadcasts', { message, destinations: [1] }, '/destinations/0: must be a string or an object'],
  ['POST', '/broadcasts', { message: { title: 'y'.repeat(257) } }, '/message/title: must have at most 256 characters'],
  [
    'POST',
    '/broadcasts',
    { message: { ...message, severity: 'bad' } },
    '/message/severity: must be one of critical, error',
  ],
  ['PUT', '/destinations/x', { settings: {} }, '/kind: is required'],
])('%s %s is refused with the remedy', async (method, path, body, detail) => {
  const answer = await ask(method, path, body);
  expect([answer.status, answer.body.detail]).toEqual([400, expect.stringContaining(detail)]);
});

test('what is wrong in two ways with one remedy is told once', async () => {
  const policy = { maxAttempts: 1e300 };
  const { body } = await ask('PUT', '/destinations/x', { kind: 'pagerduty', secrets: {}, policy });
  expect(body.errors).toEqual([{ pointer: '/policy/maxAttempts', detail: 'must be a whole number from 1 to 100' }]);
  const late = await ask('POST', '/broadcasts', { message, destinations: ['one'], expiresAt: 'tomorrow' });
  expect(late.body.errors).toEqual([{ pointer: '/expiresAt', detail: expect.stringContaining('RFC 3339') }]);
});
