import { type AddressInfo, createServer, type Socket } from 'node:net';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createVault, destinationSecrets } from '../../src/secrets.ts';
import { message, world } from './world.ts';

const here = world();
const { ask, count, webhook } = here;
const slack = { kind: 'slack', settings: { channel: 'C0123456789' }, secrets: { token: 'xoxb-very-secret' } };

beforeAll(async () => {
  await webhook('plain');
});

test('a new destination is answered with its defaults, and without its secrets', async () => {
  const { status, body, text } = await ask('PUT', '/destinations/chat', slack);
  expect(status).toBe(201);
  expect(text).not.toContain('xoxb');
  expect(body).toMatchObject({
    name: 'chat',
    kind: 'slack',
    settings: { channel: 'C0123456789' },
    secretsSet: ['token'],
    policy: {
      maxAttempts: 5,
      backoff: { baseMs: 1000, maxMs: 300_000 },
      timeoutMs: 10_000,
      concurrency: 4,
      rateLimit: null,
      onUnknown: 'park',
    },
    required: true,
    fallback: null,
    paused: null,
    breaker: { state: 'closed', until: null, faults: 0 },
    openDeliveries: {},
  });
  expect((await ask('GET', '/destinations/chat')).body).toEqual(body);
  for (const path of ['/destinations/chat', '/destinations'])
    expect((await ask('GET', path)).text).not.toContain('xoxb');
  const { rows } = await here.parts.db.query(`select * from destinations where name = 'chat'`);
  expect(rows[0].secrets.toString('latin1')).not.toContain('xoxb');
  expect(rows[0].budget).not.toContain('xoxb');
});

test('replacing one without secrets keeps those it has, unless it becomes another kind', async () => {
  await ask('PUT', '/destinations/kept', slack);
  const { secrets: _, ...rest } = slack;
  const replaced = await ask('PUT', '/destinations/kept', { ...rest, settings: { channel: 'C0000000000' } });
  expect([replaced.status, replaced.body.secretsSet]).toEqual([200, ['token']]);
  const { rows } = await here.parts.db.query(`select secrets from destinations where name = 'kept'`);
  expect(here.parts.vault.open(rows[0].secrets, destinationSecrets('kept'))).toEqual(slack.secrets);
  expect((await ask('PUT', '/destinations/new', rest)).body.errors[0].pointer).toBe('/secrets/token');
  expect((await webhook('kept')).body.secretsSet).toEqual([]);
});

describe('what is wrong is refused with its place, and nothing is stored', () => {
  test.each<[string, unknown, number, string]>([
    ['an unknown kind', { ...slack, kind: 'pigeon' }, 400, '/kind'],
    ['a missing setting', { ...slack, settings: {} }, 400, '/settings/channel'],
    ['an unknown setting', { ...slack, settings: { channel: 'C0123456789', chanel: 1 } }, 400, '/settings/chanel'],
    ['an unknown secret', { ...slack, secrets: { token: 'xoxb-1', tokn: '1' } }, 400, '/secrets/tokn'],
    ['an unknown property', { ...slack, polcy: {} }, 400, '/polcy'],
    ['no attempts at all', { ...slack, policy: { maxAttempts: 0 } }, 400, '/policy/maxAttempts'],
    ['an escalation in seconds', { ...slack, policy: { escalateAfterMs: 300 } }, 400, '/policy/escalateAfterMs'],
    ['an unknown policy', { ...slack, policy: { onUnknown: 'panic' } }, 400, '/policy/onUnknown'],
    ['a fallback that does not exist', { ...slack, fallback: 'nobody' }, 422, '/fallback'],
  ])('%s', async (_, body, status, pointer) => {
    const before = await count('destinations');
    const answer = await ask('PUT', '/destinations/wrong', body);
    expect([answer.status, answer.body.errors?.[0]?.pointer]).toEqual([status, pointer]);
    expect(answer.text).not.toContain('xoxb');
    expect(await count('destinations')).toBe(before);
  });

  test('a name that is none', async () => {
    for (const name of ['Upper', '-x', 'x'.repeat(64), 'a_b']) {
      const answer = await ask('PUT', `/destinations/${name}`, slack);
      expect([answer.status, answer.body.errors[0].parameter]).toEqual([400, 'name']);
    }
  });

  test('fallbacks in a circle', async () => {
    await webhook('a');
    await webhook('b', { fallback: 'a' });
    await webhook('c', { fallback: 'b' });
    const answer = await webhook('a', { fallback: 'c' });
    expect([answer.status, answer.body.errors[0].pointer]).toEqual([422, '/fallback']);
    expect(answer.body.detail).toMatch(/circle/);
    expect((await webhook('a', { fallback: 'a' })).status).toBe(422);
    expect((await ask('GET', '/destinations/a')).body.fallback).toBeNull();
  });

  test('two changes at once that would make a circle only together', async () => {
    await webhook('left');
    await webhook('right');
    const answers = await Promise.all([webhook('left', { fallback: 'right' }), webhook('right', { fallback: 'left' })]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 422]);
  });
});

describe('credentials in settings, which every key that may read would see', () => {
  const url = 'http://127.0.0.1:9/hook';
  const put = (settings: object) => ask('PUT', '/destinations/signed', { kind: 'webhook', settings });

  test('are refused in a URL, and the answer says where they belong', async () => {
    for (const userinfo of ['user:pass@', 'user@', ':pass@']) {
      const { status, body, text } = await put({ url: url.replace('//', `//${userinfo}`) });
      expect([userinfo, status, body.errors[0].pointer]).toEqual([userinfo, 400, '/settings/url']);
      expect(body.detail).toMatch(/headers.*Authorization/);
      expect(text).not.toContain(userinfo);
    }
    const callback = { url: 'http://user:pass@127.0.0.1:9/' };
    const { status, body } = await ask('POST', '/broadcasts', { message, destinations: ['plain'], callback });
    expect([status, body.errors[0].pointer]).toEqual([400, '/callback/url']);
    expect(body.detail).toContain('secret');
  });

  test('are hidden in headers whatever their name, and behind the host of the URL, and stored as they were sent', async () => {
    const token = 'http://127.0.0.1:9/services/T0/s3cr3t?key=s3cr3t';
    const headers = { Authorization: 'Bearer s3cr3t', 'X-Session': 's3cr3t', 'X-Team': 's3cr3t' };
    const settings = { url: token, headers };
    const hidden = Object.fromEntries(Object.keys(headers).map((name) => [name, '[redacted]']));
    const shown = { url: 'http://127.0.0.1:9/[redacted]', headers: hidden };
    expect((await put(settings)).body.settings).toEqual(shown);
    expect((await ask('GET', '/destinations/signed')).body.settings).toEqual(shown);
    const list = await ask('GET', '/destinations?limit=200');
    expect(list.body.items.find(({ name }: { name: string }) => name === 'signed').settings).toEqual(shown);
    expect(list.text).not.toContain('s3cr3t');
    expect(await stored('signed')).toEqual(settings);
  });

  test('are kept when what was shown is sent back, with whatever was changed beside them', async () => {
    const settings = { url: 'http://127.0.0.1:9/s3cr3t', headers: { Authorization: 'Bearer 1', 'X-Old': '2' } };
    await put(settings);
    const { body: shown } = await ask('GET', '/destinations/signed');
    const changed = { ...shown.settings, headers: { Authorization: '[redacted]', 'X-New': '3' } };
    expect((await put(changed)).status).toBe(200);
    expect(await stored('signed')).toEqual({ ...settings, headers: { Authorization: 'Bearer 1', 'X-New': '3' } });
  });

  test('are not kept for another host, nor for another header: what only stands for them is never stored', async () => {
    const settings = { url: 'http://127.0.0.1:9/s3cr3t', headers: { Authorization: 'Bearer 1' } };
    await put(settings);
    const mask = '[redacted]';
    for (const [sent, pointer] of [
      [{ url: 'http://127.0.0.1:8/', headers: { Authorization: mask } }, '/settings/headers/Authorization'],
      [{ url: `http://127.0.0.1:8/${mask}` }, '/settings/url'],
      [{ ...settings, headers: { 'X-Other': mask } }, '/settings/headers/X-Other'],
    ] as const) {
      const { status, body } = await put(sent);
      expect([status, body.errors.map((each: { pointer: string }) => each.pointer)]).toEqual([400, [pointer]]);
      expect(body.detail).toContain('send the value itself');
    }
    const unknown = { kind: 'webhook', settings: { url: `http://127.0.0.1:9/${mask}` } };
    expect((await ask('PUT', '/destinations/never-was', unknown)).status).toBe(400);
    expect(await stored('signed')).toEqual(settings);
  });

  test('of a URL that was stored before they were refused are not shown either', async () => {
    await put({ url });
    await here.parts.db.query(
      `update destinations set settings = '{"url":"https://user:p%40ss@example.com/a@b"}' where name = 'signed'`,
    );
    const { settings } = (await ask('GET', '/destinations/signed')).body;
    expect(settings).toEqual({ url: 'https://[redacted]@example.com/[redacted]' });
    expect((await put(settings)).status).toBe(400);
  });
});

describe('secrets that are kept stay with the host that they were given for', () => {
  const places = {
    slack: { settings: { channel: 'C1', apiUrl: 'http://127.0.0.1:9/api/' }, secrets: { token: 'xoxb-1234' } },
    jira: {
      settings: { apiUrl: 'http://127.0.0.1:9', projectKey: 'OPS', issueType: 'Task' },
      secrets: { email: 'a@b.example', apiToken: 'token' },
    },
    webhook: {
      settings: { url: 'http://127.0.0.1:9/a' },
      secrets: { signingSecret: 'whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0' },
    },
    teams: {
      settings: { teamId: 't', channelId: 'c', apiUrl: 'http://127.0.0.1:9/v1.0/' },
      secrets: { tenantId: 't', clientId: 'c', refreshToken: 'token' },
    },
  };

  test.each([
    ['slack', 'apiUrl', 'http://127.0.0.1:8/api/'],
    ['slack', 'apiUrl', undefined],
    ['jira', 'apiUrl', 'http://localhost:9'],
    ['jira', 'apiUrl', 'https://127.0.0.1:9'],
    ['webhook', 'url', 'http://127.0.0.1:8/a'],
    ['teams', 'tokenUrl', 'http://127.0.0.1:8/token'],
  ] as const)('%s: another %s (%s) is refused until they are sent with it', async (kind, setting, to) => {
    const { settings, secrets } = places[kind];
    await ask('PUT', '/destinations/aimed', { kind, settings, secrets });
    const moved = { kind, settings: { ...settings, [setting]: to } };
    const { status, body } = await ask('PUT', '/destinations/aimed', moved);
    expect([status, body.errors?.[0].pointer]).toEqual([422, `/settings/${setting}`]);
    expect(body.detail).toContain('send the secrets with it');
    expect(await stored('aimed')).toEqual(settings);
    expect((await ask('PUT', '/destinations/aimed', { ...moved, secrets })).status).toBe(200);
  });

  test('another path at the same host needs none', async () => {
    const { settings, secrets } = places.slack;
    await ask('PUT', '/destinations/aimed', { kind: 'slack', settings, secrets });
    const moved = { ...settings, channel: 'C2', apiUrl: 'http://127.0.0.1:9/other/' };
    expect((await ask('PUT', '/destinations/aimed', { kind: 'slack', settings: moved })).status).toBe(200);
  });
});

async function stored(name: string): Promise<unknown> {
  const { rows } = await here.parts.db.query('select settings from destinations where name = $1', [name]);
  return rows[0].settings;
}

test('a pause keeps the reason it began with, unless it is given another', async () => {
  await webhook('quiet');
  const pause = async (body?: object) => (await ask('POST', '/destinations/quiet/pause', body)).body.paused;
  const first = await pause({ reason: 'credential refused (http_401)' });
  expect(await pause()).toEqual(first);
  expect(await pause({ reason: 'maintenance' })).toEqual({ at: first.at, reason: 'maintenance' });
  await ask('POST', '/destinations/quiet/resume');
  expect((await pause()).reason).toBe('by hand');
});

test('one whose service asked to be left alone tells until when, and the metrics tell of it', async () => {
  await webhook('hasty');
  expect((await ask('GET', '/destinations/hasty')).body.limitedUntil).toBeNull();
  const until = '2126-01-01T00:00:00.000Z';
  await here.parts.db.query(`insert into budgets (budget, blocked_until) values ('to hasty', $1)`, [until]);
  expect((await ask('GET', '/destinations/hasty')).body.limitedUntil).toBe(until);
  expect((await ask('GET', '/metrics')).text).toContain(
    'tocsin_destination_stopped{destination="hasty",by="rate-limit"} 1',
  );
});

describe('one that was stored with another secret key', () => {
  beforeEach(async () => {
    await webhook('sealed');
    const theirs = createVault(Buffer.alloc(32, 9)).seal({ signingSecret: 'x' }, destinationSecrets('sealed'));
    await here.parts.db.query(`update destinations set secrets = $1 where name = 'sealed'`, [theirs]);
  });

  test('is shown with that it cannot be opened, and hides no other', async () => {
    const one = await ask('GET', '/destinations/sealed');
    expect([one.status, one.body.secretsSet, one.body.secretsUnreadable]).toEqual([200, [], true]);
    const all = await ask('GET', '/destinations?limit=200');
    expect(all.status).toBe(200);
    expect(all.body.items).toContainEqual(one.body);
    expect(all.body.items.filter(({ secretsUnreadable }: { secretsUnreadable?: true }) => secretsUnreadable)).toEqual([
      one.body,
    ]);
    expect((await ask('POST', '/destinations/sealed/pause')).status).toBe(200);
  });

  test('is replaced with its secrets, and not without them', async () => {
    const without = await webhook('sealed');
    expect([without.status, without.body.errors[0].pointer]).toEqual([422, '/secrets']);
    expect(without.body.errors[0].detail).toContain('send them again');
    const signingSecret = `whsec_${Buffer.alloc(24, 'x').toString('base64')}`;
    const mended = await webhook('sealed', { secrets: { signingSecret } });
    expect([mended.status, mended.body.secretsSet]).toEqual([200, ['signingSecret']]);
    expect(mended.body).not.toHaveProperty('secretsUnreadable');
  });
});

test('the kind of a destination cannot change while deliveries to it are open, and can once none is', async () => {
  await webhook('changing');
  const { body } = await ask('POST', '/broadcasts', { message, destinations: ['changing'] });
  const other = { kind: 'pagerduty', secrets: { routingKey: 'R'.repeat(32) } };
  const refused = await ask('PUT', '/destinations/changing', other);
  expect([refused.status, refused.body.names]).toEqual([409, ['changing']]);
  expect(refused.body.detail).toMatch(
    /1 delivery to changing is open and of kind webhook: let them end, or cancel them/,
  );
  expect((await ask('GET', '/destinations/changing')).body.kind).toBe('webhook');
  // Of the same kind it may be replaced at any time.
  expect((await webhook('changing', { policy: { maxAttempts: 7 } })).status).toBe(200);
  await ask('POST', `/broadcasts/${body.id}/cancel`);
  expect((await ask('PUT', '/destinations/changing', other)).status).toBe(200);
});

describe('removing', () => {
  test('is refused while an audience, a fallback or an open delivery needs it, and says which', async () => {
    await webhook('needed');
    await webhook('leaning', { fallback: 'needed' });
    await ask('PUT', '/audiences/fans', { destinations: ['needed'] });
    await ask('POST', '/broadcasts', { message, destinations: ['needed'] });

    const byAudience = await ask('DELETE', '/destinations/needed');
    expect([byAudience.status, byAudience.body.names]).toEqual([409, ['fans']]);
    await ask('DELETE', '/audiences/fans');
    const byFallback = await ask('DELETE', '/destinations/needed');
    expect([byFallback.status, byFallback.body.names]).toEqual([409, ['leaning']]);
    await ask('DELETE', '/destinations/leaning');
    const byDelivery = await ask('DELETE', '/destinations/needed');
    expect(byDelivery.status).toBe(409);
    expect(byDelivery.body.detail).toMatch(/1 deliver/);

    await here.parts.db.query(
      `update deliveries set state = 'cancelled', due_at = null, ended_at = now() where destination = 'needed'`,
    );
    expect((await ask('DELETE', '/destinations/needed')).status).toBe(204);
    expect((await ask('GET', '/destinations/needed')).status).toBe(404);
    expect((await ask('DELETE', '/destinations/needed')).status).toBe(404);
  });
});

describe('a pause', () => {
  beforeEach(async () => {
    await webhook('resting');
  });

  test('has a reason, survives being replaced, and ends with everything due that was held', async () => {
    const paused = await ask('POST', '/destinations/resting/pause', { reason: 'maintenance' });
    expect([paused.status, paused.body.paused.reason]).toEqual([200, 'maintenance']);
    expect((await webhook('resting')).body.paused.reason).toBe('maintenance');
    const { body } = await ask('POST', '/broadcasts', { message, destinations: ['resting'] });
    const [delivery] = body.deliveries;
    await here.parts.db.query(`update deliveries set state = 'held', hold = 'paused', due_at = null where id = $1`, [
      delivery.id,
    ]);
    expect((await ask('GET', `/deliveries/${delivery.id}`)).body).toMatchObject({ state: 'held', hold: 'paused' });
    expect((await ask('GET', '/destinations/resting')).body.openDeliveries).toEqual({ held: 1 });

    const resumed = await ask('POST', '/destinations/resting/resume');
    expect([resumed.status, resumed.body.paused]).toEqual([200, null]);
    expect((await ask('GET', `/deliveries/${delivery.id}`)).body.state).toBe('pending');
    const { rows } = await here.parts.db.query('select due_at <= now() as due from deliveries where id = $1', [
      delivery.id,
    ]);
    expect(rows).toEqual([{ due: true }]);
  });

  test('needs no body, even under a content type', async () => {
    const answer = await ask('POST', '/destinations/resting/pause', undefined, { 'content-type': 'application/json' });
    expect(answer.status).toBe(200);
    expect((await ask('POST', '/destinations/nobody/pause')).status).toBe(404);
    expect((await ask('POST', '/destinations/nobody/resume')).status).toBe(404);
  });
});

test('replacing a destination closes its breaker', async () => {
  await webhook('mended');
  await here.parts.db.query(
    `update destinations set faults = 9, breaker_until = now() + interval '1 hour' where name = 'mended'`,
  );
  expect((await ask('GET', '/destinations/mended')).body.breaker).toMatchObject({ state: 'open', faults: 9 });
  expect((await webhook('mended')).body.breaker).toEqual({ state: 'closed', until: null, faults: 0 });
});

test('a test of a destination says what is wrong, sends only when asked to, and records nothing', async () => {
  const before = await count('broadcasts');
  const checked = await ask('POST', '/destinations/plain/test');
  expect(checked.status).toBe(200);
  expect(checked.body.sent).toBeNull();
  // Nobody listens on port 9.
  const sent = await ask('POST', '/destinations/plain/test', { send: true });
  expect(sent.body).toMatchObject({ ok: false, sent: { receipt: null, error: { class: 'transient' } } });
  expect((await ask('POST', '/destinations/nobody/test')).status).toBe(404);
  expect(await count('broadcasts')).toBe(before);
});

describe('a test that fails says what to do', () => {
  const failed = async (name: string, body: object) => {
    const checked = (await ask('POST', `/destinations/${name}/test`)).body;
    const { sent } = (await ask('POST', `/destinations/${name}/test`, body)).body;
    const check = checked.checks.find(({ ok }: { ok: boolean }) => !ok);
    return [check?.detail, sent?.error?.message];
  };
  const reject = async (listener: (socket: Socket) => void) => {
    const server = createServer(listener);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { port: (server.address() as AddressInfo).port, close: () => server.close() };
  };
  const jira = (port: number) => ({
    kind: 'jira',
    settings: { apiUrl: `http://127.0.0.1:${port}`, projectKey: 'OPS', issueType: 'Task' },
    secrets: { email: 'a@b.example', apiToken: 'wrong' },
  });
  const mail = (port: number) => ({
    kind: 'email',
    settings: { from: 'a@b.example', to: ['a@b.example'] },
    secrets: { smtpUrl: `smtp://me:wrong-pass@127.0.0.1:${port}` },
  });

  test.each([
    [401, 'Check email and apiToken'],
    [404, 'Check apiUrl'],
  ])('when Jira answers %i', async (status, advice) => {
    const server = await reject((socket) => {
      socket.on('data', () => socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}`));
    });
    await ask('PUT', '/destinations/tickets', jira(server.port));
    const [check, sent] = await failed('tickets', { send: true });
    expect(check).toMatch(new RegExp(`^Jira answered ${status}\\. ${advice}`));
    if (status === 401) expect(sent).toMatch(new RegExp(`^Jira answered 401\\. ${advice}`));
    server.close();
  });

  test('when the mail server refuses the password', async () => {
    const server = await reject((socket) => {
      socket.write('220 here\r\n');
      socket.on('data', (line) => {
        const isHello = /^EHLO/.test(String(line));
        socket.write(isHello ? '250-here\r\n250 AUTH PLAIN\r\n' : '535 5.7.8 Bad credentials\r\n');
      });
    });
    await ask('PUT', '/destinations/mail', mail(server.port));
    const [check, sent] = await failed('mail', { send: true });
    for (const detail of [check, sent]) expect(detail).toMatch(/535.*\. Check user name and password in smtpUrl/);
    server.close();
  });

  test('when nobody listens there: never to look for another token', async () => {
    const server = await reject(() => {});
    server.close();
    for (const [name, body] of Object.entries({ tickets: jira(server.port), mail: mail(server.port) })) {
      await ask('PUT', `/destinations/${name}`, body);
      for (const detail of await failed(name, { send: true })) {
        expect(detail).toMatch(/ECONNREFUSED.*\. Check host and port/);
        expect(detail).not.toMatch(/token|password/i);
      }
    }
  });
});

describe('an audience', () => {
  test('is made, replaced, read and removed', async () => {
    const made = await ask('PUT', '/audiences/team', { destinations: ['plain', 'plain'] });
    expect([made.status, made.body.destinations]).toEqual([201, ['plain']]);
    expect((await ask('PUT', '/audiences/team', { destinations: ['plain'] })).status).toBe(200);
    expect((await ask('GET', '/audiences/team')).body.name).toBe('team');
    expect((await ask('DELETE', '/audiences/team')).status).toBe(204);
    expect((await ask('GET', '/audiences/team')).status).toBe(404);
    expect((await ask('DELETE', '/audiences/team')).status).toBe(404);
  });

  test('has members that exist, and at least one', async () => {
    const stray = await ask('PUT', '/audiences/team', { destinations: ['plain', 'nobody'] });
    expect([stray.status, stray.body.errors[0].pointer]).toEqual([422, '/destinations']);
    expect(stray.body.detail).toContain('nobody');
    expect((await ask('PUT', '/audiences/team', { destinations: [] })).body.errors[0].pointer).toBe('/destinations');
    expect((await ask('GET', '/audiences/team')).status).toBe(404);
  });
});
