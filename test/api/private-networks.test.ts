import { expect, test } from 'vitest';
import { message, world } from './world.ts';

const { ask } = world({ allowPrivateNetworks: false });

const refused = [
  'http://example.com/',
  'https://127.0.0.1/',
  'https://2130706433/',
  'https://0x7f.1/',
  'https://localhost/',
  'https://localhost./',
  'https://a.localhost/',
  'https://[::1]/',
  'https://[::ffff:10.0.0.1]/',
  'https://10.1.2.3/',
  'https://192.168.0.1/',
  'https://169.254.169.254/latest/meta-data',
  'https://100.64.0.1/',
];

test.each(refused)('%s is no place for a destination or a callback to be', async (url) => {
  const webhook = await ask('PUT', '/destinations/inside', { kind: 'webhook', settings: { url } });
  expect([webhook.status, webhook.body.errors[0].pointer]).toEqual([400, '/settings/url']);
  const settings = { channel: 'C0123456789', apiUrl: url };
  const slack = await ask('PUT', '/destinations/inside', { kind: 'slack', settings, secrets: { token: 'xoxb-1' } });
  expect([slack.status, slack.body.errors[0].pointer]).toEqual([400, '/settings/apiUrl']);
  const flow = await ask('PUT', '/destinations/inside', { kind: 'teams-workflow', secrets: { url } });
  expect([flow.status, flow.body.errors[0].pointer]).toEqual([400, '/secrets/url']);
  const broadcast = await ask('POST', '/broadcasts', { message, destinations: ['outside'], callback: { url } });
  expect([broadcast.status, broadcast.body.errors[0].pointer]).toEqual([400, '/callback/url']);
  expect(broadcast.body.detail).toContain('TOCSIN_ALLOW_PRIVATE_NETWORKS');
});

test('a public address is fine', async () => {
  const made = await ask('PUT', '/destinations/outside', {
    kind: 'webhook',
    settings: { url: 'https://example.com/x' },
  });
  expect(made.status).toBe(201);
});
