import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';
import { callback } from '../../src/destinations/callback/index.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { perform, type Task } from '../../src/destinations/perform.ts';
import { webhook } from '../../src/destinations/webhook/index.ts';
import { until } from '../support/until.ts';
import { adapterSuite, noticeOf } from './suite.ts';

const signingSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

adapterSuite(
  webhook,
  (sandbox) => {
    const headers = { authorization: 'Bearer of-the-receiver' };
    return {
      service: 'webhook',
      configuration: {
        settings: { url: sandbox.addresses.webhookUrl('orders'), headers },
        secrets: { signingSecret },
      },
      unreachable: { settings: { url: 'http://127.0.0.1:2/hooks' }, secrets: {} },
      // A receiver that drops repeats, as Standard Webhooks expects of it.
      texts: () => sandbox.webhook.distinct('orders').map(({ raw }) => raw.toString()),
      followUps: true,
    };
  },
  { readsReplies: false },
);

describe('a webhook', () => {
  let sandbox: Sandbox;
  let network: Network;

  beforeAll(async () => {
    sandbox = await startSandbox();
    network = createNetwork({ allowPrivateNetworks: true });
  });
  beforeEach(() => sandbox.reset());
  afterAll(async () => {
    await network.close();
    await sandbox.close();
  });

  function taskOf(rest: Partial<Task> = {}): Task {
    return {
      action: 'deliver',
      settings: { url: sandbox.addresses.webhookUrl('orders') },
      secrets: { signingSecret },
      key: 'dl_1',
      revision: 1,
      receipt: null,
      root: null,
      since: new Date(),
      startedAt: new Date(),
      notice: noticeOf('dl_1'),
      timeoutMs: 2_000,
      ...rest,
    };
  }

  it('says what the contract promises, signed', async () => {
    await perform(webhook, taskOf(), network);
    const [delivery] = sandbox.webhook.deliveries('orders');
    if (!delivery) throw new Error('nothing arrived');
    expect(new Webhook(signingSecret).verify(delivery.raw, delivery.headers)).toEqual({
      type: 'broadcast.message',
      timestamp: '2026-11-20T14:02:00.000Z',
      data: {
        broadcastId: 'bc_test',
        deliveryId: 'dl_1',
        revision: 1,
        retracted: false,
        message: { title: 'P1: checkout is down', severity: 'critical', body: 'Rate **42 %**.' },
        topic: null,
        correlationId: 'correlation',
        metadata: {},
      },
    });
    expect(delivery.headers['content-type']).toBe('application/json');
    expect(delivery.headers['idempotency-key']).toBe(`"${delivery.id}"`);
  });

  it('keeps its id and its bytes when it is repeated, and gets a new id with each revision', async () => {
    const receipt = { at: '', url: null, status: 200 };
    await perform(webhook, taskOf(), network);
    await perform(webhook, taskOf(), network);
    await perform(webhook, taskOf({ action: 'revise', receipt, revision: 2 }), network);
    await perform(webhook, taskOf({ action: 'retract', receipt, revision: 3 }), network);
    const [first, repeated, revised, retracted] = sandbox.webhook.deliveries('orders');
    expect(repeated?.id).toBe(first?.id);
    expect(repeated?.raw).toEqual(first?.raw);
    expect(new Set([first?.id, revised?.id, retracted?.id]).size).toBe(3);
    // The signed text is "id.timestamp.body": a full stop in the id would make it ambiguous.
    expect(first?.id).not.toContain('.');
  });

  it('signs with the secret that it has now', async () => {
    const settings = { url: sandbox.addresses.webhookUrl('orders') };
    const next = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;
    for (const secret of [signingSecret, next]) {
      await perform(webhook, taskOf({ settings, secrets: { signingSecret: secret } }), network);
      const delivery = sandbox.webhook.deliveries('orders').at(-1);
      if (!delivery) throw new Error('nothing arrived');
      expect(new Webhook(secret).verify(delivery.raw, delivery.headers)).toBeTruthy();
    }
  });

  it.each([
    ['nothing', 204, ''],
    ['a little', 200, 'ok'],
    ['a page', 200, 'ok'.repeat(20_000)],
    ['why it refuses', 400, 'no'],
  ])('uses its connection again when the receiver says %s', async (_, status, says) => {
    let connections = 0;
    const server = createServer((request, response) => {
      request.resume();
      request.on('end', () => response.writeHead(status).end(says));
    });
    server.on('connection', () => {
      connections += 1;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const settings = { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
    let posts = 0;
    await until('a connection to be used again', async () => {
      await perform(webhook, taskOf({ settings }), network);
      posts += 1;
      return connections < posts;
    });
    server.closeAllConnections();
    server.close();
  });

  it('is unsigned without a secret, and still has its id', async () => {
    await perform(webhook, taskOf({ secrets: {} }), network);
    const [delivery] = sandbox.webhook.deliveries('orders');
    expect(delivery?.headers).not.toHaveProperty('webhook-signature');
    expect(delivery?.id).toBe('dl_1-1');
  });

  it('sends its own headers, and the userinfo of its address as authorization', async () => {
    const url = sandbox.addresses.webhookUrl('orders').replace('http://', 'http://user:pass%20word@');
    await perform(webhook, taskOf({ settings: { url, headers: { 'X-Team': 'ops' } } }), network);
    const [delivery] = sandbox.webhook.deliveries('orders');
    expect(delivery?.headers['x-team']).toBe('ops');
    expect(delivery?.headers.authorization).toBe(`Basic ${Buffer.from('user:pass word').toString('base64')}`);
  });

  it('repeats nothing of a secret address or header in a fault', async () => {
    const url = `${sandbox.addresses.webhookUrl('orders')}?key=s3cr3t-key`.replace('http://', 'http://user:hunter22@');
    sandbox.misbehave('webhook', { do: 'refuse', status: 400, body: `no: ${url} and tok-123456` });
    const task = taskOf({ settings: { url, headers: { 'x-token': 'tok-123456' } } });
    const { outcome } = await perform(webhook, task, network);
    expect(JSON.stringify(outcome)).not.toMatch(/s3cr3t-key|hunter22|tok-123456/);
    expect(outcome).toMatchObject({ fault: { message: expect.stringContaining('The receiver answered 400') } });
  });

  it('stops the destination when the receiver says it is gone, but not for one message that it forbids', async () => {
    sandbox.misbehave('webhook', { do: 'refuse', status: 410 }, { do: 'refuse', status: 403 });
    const gone = await perform(webhook, taskOf(), network);
    expect(gone.outcome).toMatchObject({ fault: { class: 'permanent', reason: 'http_410', credential: true } });
    const forbidden = await perform(webhook, taskOf(), network);
    expect(forbidden.outcome).toMatchObject({ fault: { class: 'permanent', reason: 'http_403' } });
    expect(forbidden.outcome).not.toHaveProperty('fault.credential');
  });

  it.each(['Webhook-Id', 'webhook-signature', 'Content-Type', 'Host', 'idempotency-key', 'bad name', 'a:b'])(
    'refuses to have %j set for it',
    (name) => {
      const settings = { url: 'https://example.com/', headers: { [name]: 'x' } };
      expect(webhook.settings.safeParse(settings).success).toBe(false);
    },
  );

  it('refuses headers that would end early, addresses of other kinds, and secrets that are none', () => {
    const url = 'https://example.com/';
    expect(webhook.settings.safeParse({ url, headers: { 'x-a': 'a\r\nx-b: c' } }).success).toBe(false);
    expect(webhook.settings.safeParse({ url: 'ftp://example.com/' }).success).toBe(false);
    expect(webhook.settings.safeParse({ url, more: 1 }).success).toBe(false);
    const keyOf = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;
    for (const signingSecret of ['secret', 'whsec_AAAA', keyOf(23), keyOf(65), `${keyOf(24)}!`]) {
      expect(webhook.secrets.safeParse({ signingSecret }).success).toBe(false);
    }
    for (const bytes of [24, 25, 64])
      expect(webhook.secrets.safeParse({ signingSecret: keyOf(bytes) }).success).toBe(true);
  });

  it('hands over an event as a callback, under the id of its delivery', async () => {
    const event = { type: 'broadcast.converged', timestamp: '2026-11-20T14:03:00.000Z', data: { id: 'bc_1' } };
    const notice = noticeOf('dl_9', {}, { event });
    const { outcome } = await perform(callback, taskOf({ key: 'dl_9', notice }), network);
    expect(outcome).toMatchObject({ is: 'success', receipt: { url: null, status: 200 } });
    const [delivery] = sandbox.webhook.deliveries('orders');
    if (!delivery) throw new Error('nothing arrived');
    expect(delivery.id).toBe('dl_9');
    expect(new Webhook(signingSecret).verify(delivery.raw, delivery.headers)).toEqual(event);
  });
});
