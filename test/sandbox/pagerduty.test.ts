import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
afterAll(() => sandbox.close());

async function enqueue(action: string, over: object = {}, payload: object = {}) {
  const response = await fetch(new URL('v2/enqueue', sandbox.addresses.pagerdutyApiUrl), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      routing_key: 'R0UTING',
      dedup_key: 'INC-1',
      event_action: action,
      payload: { summary: 'Checkout is down', source: 'tocsin', severity: 'critical', ...payload },
      ...over,
    }),
  });
  return { status: response.status, said: (await response.json()) as Record<string, unknown> };
}

test('one key is one alert while it is open, and another once it was resolved', async () => {
  expect(await enqueue('trigger')).toMatchObject({ status: 202, said: { status: 'success', dedup_key: 'INC-1' } });
  await enqueue('trigger', {}, { summary: 'Checkout is still down' });
  expect(sandbox.pagerduty.alert('INC-1')).toMatchObject({
    triggers: 2,
    payload: { summary: 'Checkout is still down' },
  });
  await enqueue('acknowledge');
  expect(sandbox.pagerduty.alert('INC-1')?.state).toBe('acknowledged');
  await enqueue('resolve');
  expect(sandbox.pagerduty.alert('INC-1')?.state).toBe('resolved');
  await enqueue('trigger');
  expect(sandbox.pagerduty.alerts('R0UTING').map(({ state }) => state)).toEqual(['resolved', 'triggered']);
});

test.each([
  ['routing_key', { routing_key: 'bad' }, {}],
  ['event_action', { event_action: 'shout' }, {}],
  ['dedup_key', { dedup_key: 'x'.repeat(256) }, {}],
  ['summary', {}, { summary: 'x'.repeat(1025) }],
  ['severity', {}, { severity: 'P1' }],
])('a wrong %s is refused by name and alerts nobody', async (name, over, payload) => {
  const { status, said } = await enqueue('trigger', over, payload);
  expect(status).toBe(400);
  expect(said).toMatchObject({ status: 'invalid event', errors: [expect.stringContaining(name)] });
  expect(sandbox.pagerduty.alerts()).toEqual([]);
});

test('a lost reply leaves the alert open, and the same key again calls nobody twice', async () => {
  sandbox.misbehave('pagerduty', { do: 'swallow', place: 'R0UTING' });
  await expect(enqueue('trigger')).rejects.toThrow('fetch failed');
  await enqueue('trigger');
  expect(sandbox.pagerduty.alerts()).toMatchObject([{ triggers: 2 }]);
});
