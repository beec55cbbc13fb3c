import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Mail } from '../../sandbox/index.ts';
import { startWorld, type World } from '../support/world.ts';
import { type Kind, type Place, place } from './places.ts';
import { converged } from './steps.ts';

const kinds: Kind[] = ['slack', 'teams', 'teams-workflow', 'jira', 'webhook', 'email', 'pagerduty'];

const message = {
  title: 'P1: <!channel> checkout & more',
  body: '# What\n\nError rate **42 %**, see [graph](https://e.example/?a=1&b=2).\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n👩‍👩‍👧‍👦 مرحبا',
  severity: 'error',
  fields: [{ name: 'Service', value: 'checkout\neurope' }],
  links: [{ text: 'Runbook', url: 'https://e.example/run' }],
};

/** What differs between two renderings of one message: the ids of its deliveries and broadcast, and when it was made. */
function alike(value: unknown): unknown {
  const text = JSON.stringify(value)
    .replace(/\b(dl|bc)_[a-z0-9]{26}/g, '$1_…')
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'uuid')
    .replace(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d\.\d{3}Z| UTC)/g, 'time');
  return JSON.parse(text);
}

describe('a preview', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue: 'postgres' });
  });
  afterAll(() => world?.stop());

  /** The request's own payload, out of the form or the mail that carried it. */
  function received({ service, at }: Place): Record<string, unknown> {
    if (service === 'smtp') {
      const { headers, text, html } = world.sandbox.smtp.mailbox(at).at(-1) as Mail;
      const unix = (part: string | null) => part?.replaceAll('\r\n', '\n');
      return { from: headers.from, to: [headers.to], subject: headers.subject, text: unix(text), html: unix(html) };
    }
    const body = world.sandbox.requests(service).at(-1)?.body as Record<string, unknown>;
    if (service === 'slack') {
      const parsed = (name: string, value: unknown) =>
        ['text', 'channel'].includes(name) ? value : JSON.parse(String(value));
      return Object.fromEntries(Object.entries(body).map(([name, value]) => [name, parsed(name, value)]));
    }
    const { routing_key: _, ...event } = body;
    return event;
  }

  test('is the very payload that is sent then, sends nothing and leaves nothing behind', async () => {
    const places = await Promise.all(kinds.map((kind) => place(world, kind)));
    const destinations = places.map(({ name }) => name);
    const headers = { 'x-correlation-id': 'the-same' };
    const { status, body } = await world.api('POST', '/previews', { message, destinations }, headers);
    expect(status).toBe(200);
    expect(body.previews.map(({ kind }: { kind: string }) => kind)).toEqual(kinds);
    expect(world.sandbox.requests()).toEqual([]);
    expect((await world.api('GET', '/broadcasts')).body.items).toEqual([]);
    expect((await world.api('GET', '/deliveries')).body.items).toEqual([]);

    const sent = await world.api('POST', '/broadcasts', { message, destinations }, headers);
    expect((await converged(world, sent.body)).state).toBe('delivered');
    for (const [index, where] of places.entries()) {
      expect(alike(received(where)), where.name).toEqual(alike(body.previews[index].payload));
    }
  });
});

describe('a preflight', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue: 'postgres' });
  });
  afterAll(() => world?.stop());

  let tested = 0;
  /** What the test of a destination finds wrong: names and advice. */
  async function findings(kind: Kind, settings: object, secrets: object): Promise<string> {
    tested += 1;
    const name = `tested-${tested}`;
    const base = await place(world, kind);
    const { body } = await world.api('GET', `/destinations/${base.name}`);
    const put = { kind, settings: { ...body.settings, ...settings }, secrets };
    const { status, body: said } = await world.api('PUT', `/destinations/${name}`, put);
    expect(status, JSON.stringify(said)).toBe(201);
    const { body: result } = await world.api('POST', `/destinations/${name}/test`);
    expect(result.sent).toBeNull();
    const failed = result.checks.filter(({ ok }: { ok: boolean }) => !ok);
    expect(result.ok).toBe(failed.length === 0);
    return failed.map(({ name, detail }: { name: string; detail: string }) => `${name}: ${detail}`).join('\n');
  }

  const jira = { email: 'ops@example.com', apiToken: 'jira-good-token' };

  test.each([
    ['slack', {}, { token: 'xoxb-revoked-1' }, /token: .*bot token/],
    ['slack', {}, { token: 'xoxb-nowrite-1' }, /scope to post: Add the scope chat:write/],
    ['slack', {}, { token: 'xoxb-noscope-1' }, /scope to verify: Add channels:history/],
    ['slack', { channel: 'CNOTIN1' }, { token: 'xoxb-good-1' }, /channel: .*\/invite/],
    ['slack', { channel: 'CARCHIVED1' }, { token: 'xoxb-good-1' }, /channel: .*Unarchive/],
    ['teams', {}, { accessToken: 'nonsense' }, /user: .*token/],
    ['teams', { channelId: 'missing-1' }, { accessToken: 'static-1234' }, /channel: .*id/],
    ['teams', {}, { accessToken: 'static-noread-1' }, /read-back: .*ChannelMessage\.Read\.All/],
    ['jira', {}, { ...jira, apiToken: 'bad-token' }, /user: .*API token/],
    ['jira', { projectKey: 'NOPE' }, jira, /project: .*key/],
    ['jira', { issueType: 'Nonsense' }, jira, /issue type: .*only Task, Bug, Incident/],
    ['jira', {}, { ...jira, apiToken: 'nowrite-1' }, /create issues: .*permission/],
    ['webhook', { url: 'http://nowhere.invalid/x' }, {}, /address: .*nowhere\.invalid/],
    ['pagerduty', {}, { routingKey: 'short' }, /routing key: .*32/],
  ] as [Kind, object, object, RegExp][])('of %s %j %j says what to do', async (kind, settings, secrets, expected) => {
    expect(await findings(kind, settings, secrets)).toMatch(expected);
  });

  test('of a mail destination finds the login, the sender and each recipient that the server refuses', async () => {
    const { smtpUrl } = world.sandbox.addresses;
    const bad = smtpUrl.replace('smtp://', 'smtp://me:bad-pass@');
    expect(await findings('email', {}, { smtpUrl: bad })).toMatch(/server: .*user name and password/);
    const to = ['ops@example.com', 'nobody@example.com'];
    expect(await findings('email', { to }, { smtpUrl })).toMatch(/recipient nobody@example\.com: .*refuses/);
    expect(to.flatMap((each) => world.sandbox.smtp.mailbox(each))).toEqual([]);
  });

  test('sends one message that says it is a test when it is asked to', async () => {
    for (const kind of kinds) {
      const where = await place(world, kind);
      const { body } = await world.api('POST', `/destinations/${where.name}/test`, { send: true });
      expect(body, kind).toMatchObject({ ok: true, sent: { receipt: { at: expect.any(String) }, error: null } });
      expect(where.count('Test message from Tocsin'), kind).toBe(1);
    }
    expect((await world.api('GET', '/broadcasts')).body.items).toEqual([]);
  });
});
