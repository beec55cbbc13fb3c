import { once } from 'node:events';
import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/delivery/outcome.ts';
import type { Adapter } from '../../src/destinations/adapter.ts';
import { callback } from '../../src/destinations/callback/index.ts';
import { email } from '../../src/destinations/email/index.ts';
import { inspect } from '../../src/destinations/inspect.ts';
import { jira } from '../../src/destinations/jira/index.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { pagerduty } from '../../src/destinations/pagerduty/index.ts';
import { perform } from '../../src/destinations/perform.ts';
import { slack } from '../../src/destinations/slack/index.ts';
import { teams } from '../../src/destinations/teams/index.ts';
import { teamsWorkflow } from '../../src/destinations/teams-workflow/index.ts';
import { webhook } from '../../src/destinations/webhook/index.ts';
import { until } from '../support/until.ts';
import { noticeOf } from './suite.ts';

const megabytes = 1024 * 1024;

interface Kind {
  adapter: Adapter;
  configuration(base: string): { settings: unknown; secrets: unknown };
  /** An answer in the service's own form whose explanation is `said`. */
  refusal(said: unknown): { status: number; body: string };
}

const kinds: Record<string, Kind> = {
  slack: {
    adapter: slack,
    configuration: (base) => ({
      settings: { channel: 'C0INCIDENTS', apiUrl: `${base}/api/` },
      secrets: { token: 'xoxb-1' },
    }),
    refusal: (said) => ({ status: 200, body: JSON.stringify({ ok: false, error: said }) }),
  },
  teams: {
    adapter: teams,
    configuration: (base) => ({
      settings: { teamId: 'team', channelId: 'channel', apiUrl: `${base}/v1.0/` },
      secrets: { accessToken: 'access-token' },
    }),
    refusal: (said) => ({ status: 400, body: JSON.stringify({ error: { code: said, message: said } }) }),
  },
  'teams token': {
    adapter: teams,
    configuration: (base) => ({
      settings: { teamId: 'team', channelId: 'channel', apiUrl: `${base}/v1.0/`, tokenUrl: `${base}/token` },
      secrets: { tenantId: 'tenant', clientId: 'client', refreshToken: 'refresh-token' },
    }),
    refusal: (said) => ({ status: 400, body: JSON.stringify({ error: 'invalid_grant', error_description: said }) }),
  },
  'teams-workflow': {
    adapter: teamsWorkflow,
    configuration: (base) => ({ settings: {}, secrets: { url: `${base}/workflows/1234567890` } }),
    refusal: (said) => ({ status: 400, body: JSON.stringify({ error: { code: 'Odd', message: said } }) }),
  },
  jira: {
    adapter: jira,
    configuration: (base) => ({
      settings: { apiUrl: base, projectKey: 'OPS', issueType: 'Task' },
      secrets: { email: 'ops@example.com', apiToken: 'api-token' },
    }),
    refusal: (said) => ({ status: 400, body: JSON.stringify({ errorMessages: [said] }) }),
  },
  'jira fields': {
    adapter: jira,
    configuration: (base) => ({
      settings: { apiUrl: base, projectKey: 'OPS', issueType: 'Task' },
      secrets: { email: 'ops@example.com', apiToken: 'api-token' },
    }),
    refusal: (said) => ({ status: 400, body: JSON.stringify({ errors: said }) }),
  },
  pagerduty: {
    adapter: pagerduty,
    configuration: (base) => ({ settings: { apiUrl: base }, secrets: { routingKey: 'r'.repeat(32) } }),
    refusal: (said) => ({ status: 400, body: JSON.stringify({ status: 'invalid event', errors: [said] }) }),
  },
  webhook: {
    adapter: webhook,
    configuration: (base) => ({ settings: { url: `${base}/hook` }, secrets: {} }),
    refusal: (said) => ({ status: 400, body: typeof said === 'string' ? said : JSON.stringify(said) }),
  },
};

describe('a service that answers with whatever it likes', () => {
  let server: HttpServer;
  let mail: Server;
  let network: Network;
  let base: string;
  let answer: { status: number; body: string | Buffer };
  let mailSays: string;

  beforeAll(async () => {
    server = createHttpServer((request, response) => {
      request.resume();
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body);
    });
    server.listen(0, '127.0.0.1');
    mail = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.write('220 hello\r\n');
      socket.on('data', () => socket.write(`550 ${mailSays}\r\n`));
    });
    mail.listen(0, '127.0.0.1');
    await Promise.all([once(server, 'listening'), once(mail, 'listening')]);
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    network = createNetwork({ allowPrivateNetworks: true });
  });
  afterAll(async () => {
    await network.close();
    server.closeAllConnections();
    server.close();
    mail.close();
  });

  async function attempt(adapter: Adapter, configuration: { settings: unknown; secrets: unknown }): Promise<Fault> {
    const task = {
      action: 'deliver' as const,
      key: 'dl_1',
      revision: 1,
      receipt: null,
      root: null,
      since: new Date(),
      startedAt: new Date(),
    };
    const { outcome } = await perform(
      adapter,
      { ...task, ...configuration, notice: noticeOf('dl_1'), timeoutMs: 30_000 },
      network,
    );
    if (outcome.is !== 'fault') throw new Error(`Expected a fault, but it was: ${JSON.stringify(outcome)}`);
    return outcome.fault;
  }

  const mailServer = () => ({
    settings: { from: 'tocsin@example.com', to: ['ops@example.com'] },
    secrets: { smtpUrl: `smtp://127.0.0.1:${(mail.address() as AddressInfo).port}` },
  });

  // Before texts were cut, each of these kept the process busy for hours.
  const long: [string, string][] = [
    ['words', 'a.'],
    ['tokens', 'xoxb-xoxb-'],
    ['addresses', 'a://'],
    ['questions', 'a://?'],
    ['credentials', 'authorization: basic '],
  ];
  const everywhere = Object.keys(kinds).flatMap((kind) => long.map(([name, part]) => ({ kind, name, part })));

  it.each(everywhere)(
    'costs $kind no more than a short text when it is four megabytes of $name',
    async ({ kind, part }) => {
      const { adapter, configuration, refusal } = kinds[kind] as Kind;
      answer = refusal(part.repeat((4 * megabytes - 1024) / part.length));
      const fault = await attempt(adapter, configuration(base));
      expect(fault.class).toMatch(/permanent|ambiguous/);
      expect(fault.message.length).toBeLessThanOrEqual(500);
      expect(fault.reason.length).toBeLessThanOrEqual(64);
      const checks = await inspect(adapter, { ...configuration(base), timeoutMs: 30_000 }, network);
      for (const { detail } of checks) expect(detail.length).toBeLessThanOrEqual(2_000);
    },
  );

  it.each(long)('costs email no more than a short text when it is one long line of %s', async (_, part) => {
    mailSays = part.repeat(megabytes / part.length);
    const fault = await attempt(email, mailServer());
    expect(fault.message.length).toBeLessThanOrEqual(500);
  });

  it.each(Object.keys(kinds))(
    'has every control and half character of %s replaced in what is stored and logged',
    async (kind) => {
      const { adapter, configuration, refusal } = kinds[kind] as Kind;
      answer = refusal('a\0b\u009b31mc\ud800d\u001b[0m');
      const fault = await attempt(adapter, configuration(base));
      const codes = [...`${fault.reason}${fault.message}`].map((character) => character.codePointAt(0) ?? 0);
      expect(codes.filter((code) => code < 0x20 || (code >= 0x7f && code <= 0x9f))).toEqual([]);
      expect(`${fault.reason}${fault.message}`.isWellFormed()).toBe(true);
    },
  );

  it.each(['jira', 'pagerduty'])('has only the first complaints of %s read', async (kind) => {
    const { adapter, configuration } = kinds[kind] as Kind;
    const many = Array.from({ length: 1_000_000 }, () => 0);
    answer = { status: 400, body: JSON.stringify(kind === 'jira' ? { errorMessages: many } : { errors: many }) };
    const { message } = await attempt(adapter, configuration(base));
    // Each of them is one character and a space, and all of them would fill the five hundred characters that are kept.
    expect(message.match(/\b0\b/g)?.length).toBeLessThanOrEqual(100);
    expect(message).not.toMatch(/…$/);
  });

  it('says what it can of a binary page, once', async () => {
    answer = { status: 400, body: Buffer.from('no\0\0\0\u0001such\0\0page') };
    const fault = await attempt(webhook, { settings: { url: `${base}/hook` }, secrets: {} });
    expect(fault).toMatchObject({ class: 'permanent', reason: 'http_400' });
    expect(fault.message).toBe(`The receiver answered 400: no${'\ufffd'.repeat(4)}such${'\ufffd'.repeat(2)}page`);
  });

  const odd: unknown[] = [{}, { toString: 1, valueOf: 1 }, [[]], 0, true, null, { message: { code: {} } }];
  const oddEverywhere = Object.keys(kinds).flatMap((kind) => odd.map((said) => ({ kind, said })));
  it.each(oddEverywhere)('is a fault of $kind with $said where a text belongs', async ({ kind, said }) => {
    const { adapter, configuration, refusal } = kinds[kind] as Kind;
    answer = refusal(said);
    const fault = await attempt(adapter, configuration(base));
    expect(typeof fault.reason).toBe('string');
    expect(typeof fault.message).toBe('string');
    expect(fault.message).not.toBe('');
  });
});

describe('a receiver that goes on talking after its status', () => {
  let server: HttpServer;
  let network: Network;
  let url: string;
  let status: number;
  let connections: Set<Socket>;

  beforeAll(async () => {
    connections = new Set();
    // A letter ten times a second, for as long as the connection stands.
    server = createHttpServer((request, response) => {
      request.resume();
      response.writeHead(status).write('so far ');
      const drip = setInterval(() => response.write('x'), 100);
      response.once('close', () => clearInterval(drip));
    });
    server.on('connection', (socket) => {
      connections.add(socket);
      socket.once('close', () => connections.delete(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    network = createNetwork({ allowPrivateNetworks: true });
  });
  afterAll(async () => {
    await network.close();
    server.closeAllConnections();
    server.close();
  });

  const deliver = async (adapter: Adapter, timeoutMs: number) => {
    const event = { type: 'broadcast.converged', timestamp: '2026-11-20T14:03:00.000Z', data: {} };
    const task = {
      action: 'deliver' as const,
      key: 'dl_1',
      revision: 1,
      receipt: null,
      root: null,
      since: new Date(),
      startedAt: new Date(),
    };
    const notice = noticeOf('dl_1', {}, { event });
    const configuration = { settings: { url }, secrets: {} };
    return (await perform(adapter, { ...task, ...configuration, notice, timeoutMs }, network)).outcome;
  };

  it.each([webhook, callback])('gets $kind, and keeps no connection', async (adapter) => {
    status = 200;
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => deliver(adapter, 60_000)));
    expect(outcomes.every(({ is }) => is === 'success')).toBe(true);
    await until('the connections to end', () => connections.size === 0);
  });

  it('is refused nothing of its reason, as far as that came', async () => {
    status = 400;
    const outcome = await deliver(webhook, 60_000);
    expect(outcome).toMatchObject({
      fault: { message: expect.stringContaining('answered 400: so'), reason: 'http_400' },
    });
    expect(outcome).toMatchObject({ fault: { message: expect.stringMatching(/…$/) } });
    await until('the connections to end', () => connections.size === 0);
  });
});
