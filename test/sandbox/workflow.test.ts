import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
afterAll(() => sandbox.close());

function message(text = 'down'): object {
  const content = { type: 'AdaptiveCard', version: '1.4', body: [{ type: 'TextBlock', text }] };
  const contentType = 'application/vnd.microsoft.card.adaptive';
  return { type: 'message', attachments: [{ contentType, contentUrl: null, content }] };
}

async function trigger(body: object, url = sandbox.addresses.workflowUrl('ops')): Promise<Response> {
  const headers = { 'content-type': 'application/json' };
  return await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
}

test('a card is accepted without a word, and posted', async () => {
  const response = await trigger(message());
  expect([response.status, await response.text()]).toEqual([202, '']);
  const runId = response.headers.get('x-ms-workflow-run-id');
  expect(sandbox.workflow.posts('ops')).toMatchObject([{ runId, card: { body: [{ text: 'down' }] } }]);
});

test('a flow that is off, a wrong address, a wrong shape and too large a card are refused', async () => {
  const off = await trigger(message(), sandbox.addresses.workflowUrl('off-1'));
  expect(off.status).toBe(404);
  expect(await off.json()).toMatchObject({ error: { code: 'WorkflowTriggerIsNotEnabled' } });
  expect((await trigger(message(), sandbox.addresses.workflowUrl('ops').replace(/&sig=.*/, ''))).status).toBe(401);
  expect((await trigger({ text: 'down' })).status).toBe(400);
  expect((await trigger(message('x'.repeat(29_000)))).status).toBe(413);
  expect(sandbox.workflow.posts('ops')).toEqual([]);
});

test('a lost reply leaves the card posted', async () => {
  sandbox.misbehave('workflow', { do: 'swallow', place: 'ops' });
  await expect(trigger(message())).rejects.toThrow('fetch failed');
  expect(sandbox.workflow.posts('ops')).toHaveLength(1);
});
