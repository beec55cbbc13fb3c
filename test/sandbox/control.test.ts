import { connect } from 'node:net';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
afterAll(() => sandbox.close());

async function control(method: string, path: string, body?: unknown) {
  const headers = { 'content-type': 'application/json' };
  const response = await fetch(`${sandbox.url}/control/${path}`, { method, headers, body: JSON.stringify(body) });
  const said = await response.text();
  return { status: response.status, said: said === '' ? null : JSON.parse(said) };
}
const post = () => fetch(sandbox.addresses.webhookUrl('ops'), { method: 'POST', body: '{"n":1}' });

test('another process queues faults, sees the state and the requests, and starts over', async () => {
  const faults = [{ do: 'refuse', status: 503, times: 'forever', place: 'ops' }];
  expect(await control('POST', 'faults', { service: 'webhook', faults })).toMatchObject({
    status: 200,
    said: { service: 'webhook', faults: [{ do: 'refuse', times: 'forever' }] },
  });
  expect([(await post()).status, (await post()).status]).toEqual([503, 503]);
  expect(await control('DELETE', 'faults?service=webhook')).toMatchObject({ status: 204 });
  expect((await post()).status).toBe(200);

  const { said: state } = await control('GET', 'state');
  expect(state.webhook.ops).toMatchObject([{ raw: '{"n":1}', body: { n: 1 } }]);
  expect(Object.keys(state)).toEqual(['slack', 'graph', 'jira', 'webhook', 'pagerduty', 'workflow', 'smtp']);
  const { said: requests } = await control('GET', 'requests?service=webhook');
  expect(requests.map(({ status }: { status: number }) => status)).toEqual([503, 503, 200]);

  await control('POST', 'reset');
  expect((await control('GET', 'state')).said.webhook).toEqual({});
  expect((await control('GET', 'requests')).said).toEqual([]);
});

test.each([
  [{ service: 'fax', faults: [{ do: 'drop' }] }, 'service'],
  [{ service: 'slack', faults: [] }, 'faults'],
  [{ service: 'slack', faults: [{ do: 'explode' }] }, 'faults.0.do'],
  [{ service: 'slack', faults: [{ do: 'drop' }, { do: 'slow', ms: 'long' }] }, 'faults.1.ms'],
  [{ service: 'slack', faults: [{ do: 'drop', time: 2 }] }, 'faults.0'],
  [undefined, 'the body'],
])('a wrong order is refused with its field and a good example: %j', async (order, field) => {
  const { status, said } = await control('POST', 'faults', order);
  expect(status).toBe(400);
  expect(said.wrong[0].field).toBe(field);
  expect(said.remedy).toContain('{"service":"slack"');
  expect((await control('GET', 'faults')).said.slack).toEqual([]);
});

test('the page shows what people would see, as text', async () => {
  sandbox.slack.say('C0INCIDENTS', '<script>alert("down")</script>');
  sandbox.graph.say('team', 'channel', 'anything wrong?');
  await post();
  const html = await (await fetch(sandbox.url)).text();
  expect(html).toContain('&lt;script&gt;alert(&quot;down&quot;)');
  expect(html).not.toContain('<script>');
  expect(html).toContain('anything wrong?');
  expect(html).toContain('Webhook · ops');
});

test('until resolves with what it waited for, and says what was seen when that never comes', async () => {
  const waited = sandbox.until(() => sandbox.slack.channel('C0A')[0]);
  sandbox.slack.say('C0A', 'hello');
  expect(await waited).toMatchObject({ text: 'hello' });
  await post();
  const never = sandbox.until(() => sandbox.slack.channel('C0B').length > 0, { timeoutMs: 60 });
  await expect(never).rejects.toThrow(/Not within 60 ms: .*C0B[\s\S]*webhook POST \/webhooks\/ops → 200/);
});

test('closing ends stalled requests and mails and open waits at once', async () => {
  const doomed = await startSandbox();
  doomed.misbehave('webhook', { do: 'stall' });
  const stalled = fetch(doomed.addresses.webhookUrl('ops'), { method: 'POST' }).catch(() => 'cut');
  const smtp = new URL(doomed.addresses.smtpUrl);
  const idle = connect(Number(smtp.port), smtp.hostname);
  const ended = new Promise((resolve) => idle.once('close', resolve));
  idle.on('error', () => {});
  idle.resume();
  await doomed.until(() => doomed.requests('webhook').length === 1);
  const wait = doomed.until(() => false).catch((error: Error) => error.message);
  await doomed.close();
  await doomed.close();
  expect(await stalled).toBe('cut');
  expect(await wait).toContain('was closed');
  await ended;
});

test('permalinks lead to the page', async () => {
  const { ts } = sandbox.slack.say('C0A', 'hello');
  const jira = `${sandbox.addresses.jiraApiUrl}/browse/OPS-1`;
  const slack = `${sandbox.url}/slack/archives/C0A/p${ts.replace('.', '')}`;
  for (const url of [jira, slack, sandbox.graph.say('t', 'c', 'hello').webUrl]) {
    expect(await (await fetch(url)).text()).toContain('Tocsin sandbox');
  }
  expect(sandbox.requests()).toEqual([]);
});

test('a bomb is small on the wire and large once it is unpacked, and what was asked is done', async () => {
  sandbox.misbehave('webhook', { do: 'bomb', encoding: 'gzip', megabytes: 2 });
  const reply = await post();
  expect(reply.headers.get('content-encoding')).toBe('gzip');
  expect(Number(reply.headers.get('content-length'))).toBeLessThan(10_000);
  expect((await reply.arrayBuffer()).byteLength).toBe(2 * 1024 * 1024);
  expect(sandbox.webhook.deliveries('ops')).toHaveLength(1);
});

test('a dripping reply goes on after its own end, until its reader leaves', async () => {
  sandbox.misbehave('webhook', { do: 'drip', everyMs: 10 });
  const reply = await post();
  expect(reply.status).toBe(200);
  let heard = '';
  for await (const piece of reply.body ?? []) {
    heard += Buffer.from(piece).toString();
    if (/ {3}$/.test(heard)) break;
  }
  expect(JSON.parse(heard)).toEqual({ ok: true });
});

test('faults that a page of another site sends as text are refused', async () => {
  const order = JSON.stringify({ service: 'webhook', faults: [{ do: 'drop' }] });
  const response = await fetch(`${sandbox.url}/control/faults`, { method: 'POST', body: order });
  const said = (await response.json()) as { remedy: string };
  expect([response.status, said.remedy]).toEqual([415, expect.stringContaining('content-type')]);
  expect((await post()).status).toBe(200);
});
