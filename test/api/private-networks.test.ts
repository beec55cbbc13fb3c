import { expect, test } from 'vitest';
import { objection } from '../../src/api/addresses.ts';
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

test.each([
  ['https://10.1.2.3/', null],
  ['http://10.1.2.3/', null],
  ['http://relay.example/', null],
  ['smtp://10.1.2.3', null],
  ['http://1.1.1.1/', 'must have an https:// URL'],
  ['https://192.168.0.1/', 'is not an address on the public Internet'],
  ['https://localhost/', 'is this machine'],
  ['https://[fd00:ec2::254]/', 'link-local or metadata'],
])('with a list of networks, %s is taken as far as it is in one', (url, flaw) => {
  const said = objection(url, ['10.0.0.0/8', 'fd00::/8']);
  if (flaw === null) expect(said).toBeNull();
  else expect(said).toContain(flaw);
});

test('a metadata address is refused, whatever is allowed', () => {
  expect(objection('http://169.254.169.254/latest', true)).toContain('list it by itself');
  expect(objection('http://localhost:9090/', true)).toBeNull();
});
