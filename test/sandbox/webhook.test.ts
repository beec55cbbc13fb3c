import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Fault, type Sandbox, startSandbox } from '../../sandbox/index.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox({ seed: 7 });
});
beforeEach(() => sandbox.reset());
afterAll(() => sandbox.close());

const BODY = '{ "type": "broadcast.message" }';

async function post(id = 'msg_1', signal?: AbortSignal): Promise<Response> {
  const headers = { 'webhook-id': id, 'content-type': 'application/json' };
  return await fetch(sandbox.addresses.webhookUrl('ops'), { method: 'POST', headers, body: BODY, signal });
}
const taken = () => sandbox.webhook.deliveries('ops').length;
const misbehave = (...faults: Fault[]) => sandbox.misbehave('webhook', ...faults);
const lastStatus = () => sandbox.requests('webhook').at(-1)?.status;

test('a receiver keeps the very bytes, and counts a repeated webhook-id once', async () => {
  expect(await (await post()).json()).toEqual({ ok: true });
  await post();
  await post('msg_2');
  const [first] = sandbox.webhook.deliveries('ops');
  expect(first).toMatchObject({ id: 'msg_1', headers: { 'webhook-id': 'msg_1' }, body: { type: 'broadcast.message' } });
  expect(first?.raw.toString()).toBe(BODY);
  expect(taken()).toBe(3);
  expect(sandbox.webhook.distinct('ops').map(({ id }) => id)).toEqual(['msg_1', 'msg_2']);
});

test('refuse answers as told and takes nothing', async () => {
  misbehave({ do: 'refuse', status: 410, headers: { 'x-why': 'gone' }, body: 'gone' });
  const response = await post();
  expect([response.status, response.headers.get('x-why'), await response.text()]).toEqual([410, 'gone', 'gone']);
  expect(taken()).toBe(0);
});

test('rateLimit answers 429 with the delay, with a date or with none', async () => {
  const date = new Date().toUTCString();
  misbehave(
    { do: 'rateLimit', retryAfter: 5 },
    { do: 'rateLimit', retryAfter: date },
    { do: 'rateLimit', retryAfter: null },
  );
  const answers = [await post(), await post(), await post()];
  expect(answers.map(({ status }) => status)).toEqual([429, 429, 429]);
  expect(answers.map(({ headers }) => headers.get('retry-after'))).toEqual(['5', date, null]);
  expect(taken()).toBe(0);
});

test('error answers in the shape of the service', async () => {
  misbehave({ do: 'error', code: 'unsupported_event' });
  expect(await (await post()).json()).toEqual({ ok: false, error: 'unsupported_event' });
});

test('drop cuts the connection and takes nothing', async () => {
  misbehave({ do: 'drop' });
  await expect(post()).rejects.toThrow('fetch failed');
  expect(taken()).toBe(0);
});

test('swallow takes it and cuts the connection', async () => {
  misbehave({ do: 'swallow' });
  await expect(post()).rejects.toThrow('fetch failed');
  expect(taken()).toBe(1);
});

test.each([
  ['stall', 0],
  ['swallowStall', 1],
] as const)('%s never answers, having taken %i', async (kind, count) => {
  misbehave({ do: kind });
  const client = new AbortController();
  const answer = post('msg_1', client.signal);
  await sandbox.until(() => sandbox.requests('webhook').length === 1);
  expect(taken()).toBe(count);
  expect(lastStatus()).toBeNull();
  client.abort();
  await expect(answer).rejects.toThrow('aborted');
});

test('slow takes it at once and answers afterwards', async () => {
  misbehave({ do: 'slow', ms: 80 });
  const started = performance.now();
  const answer = post();
  await sandbox.until(() => taken() === 1);
  expect(lastStatus()).toBeNull();
  expect((await answer).status).toBe(200);
  expect(performance.now() - started).toBeGreaterThan(70);
});

test('late cuts the connection first and takes it only then', async () => {
  misbehave({ do: 'late', ms: 80 });
  await expect(post()).rejects.toThrow('fetch failed');
  expect(taken()).toBe(0);
  await sandbox.until(() => taken() === 1);
});

test('failAfterApply takes it and answers with a failure', async () => {
  misbehave({ do: 'failAfterApply', status: 504 });
  expect((await post()).status).toBe(504);
  expect(taken()).toBe(1);
});

test.each([
  ['html', /^<!doctype html>/, 200],
  ['text', /^OK$/, 200],
  ['empty', /^$/, 201],
  ['truncated', /^\{"ok":$/, 200],
] as const)('garble takes it and answers %s as a success', async (body, said, status) => {
  misbehave({ do: 'garble', body, ...(status === 201 ? { status } : {}) });
  const response = await post();
  expect(response.status).toBe(status);
  expect(await response.text()).toMatch(said);
  expect(taken()).toBe(1);
});

test('breakOff takes it and cuts the connection in the middle of the reply', async () => {
  misbehave({ do: 'breakOff' });
  const response = await post();
  expect(response.status).toBe(200);
  await expect(response.text()).rejects.toThrow('terminated');
  expect(taken()).toBe(1);
});

test('faults are met in the order they were queued, so many times, after so many', async () => {
  misbehave({ do: 'refuse', status: 500, times: 2 }, { do: 'refuse', status: 503, after: 1 });
  const statuses: number[] = [];
  for (let n = 0; n < 5; n += 1) statuses.push((await post()).status);
  expect(statuses).toEqual([500, 500, 200, 503, 200]);
});

test('a fault without end lasts until it is cleared', async () => {
  misbehave({ do: 'refuse', status: 500, times: Number.POSITIVE_INFINITY });
  for (let n = 0; n < 3; n += 1) expect((await post()).status).toBe(500);
  sandbox.behave('slack');
  expect((await post()).status).toBe(500);
  sandbox.behave('webhook');
  expect((await post()).status).toBe(200);
});

test('a probable fault strikes about as often as it says, and the same way for the same seed', async () => {
  const run = async (on: Sandbox) => {
    on.misbehave('webhook', { do: 'refuse', status: 500, times: Number.POSITIVE_INFINITY, probability: 0.3 });
    const statuses: number[] = [];
    for (let n = 0; n < 100; n += 1) {
      statuses.push((await fetch(on.addresses.webhookUrl('ops'), { method: 'POST', body: '{}' })).status);
    }
    return statuses;
  };
  const [first, second] = [await startSandbox({ seed: 7 }), await startSandbox({ seed: 7 })];
  const [one, two] = [await run(first), await run(second)];
  await Promise.all([first.close(), second.close()]);
  expect(one).toEqual(two);
  const struck = one.filter((status) => status === 500).length;
  expect(struck).toBeGreaterThan(15);
  expect(struck).toBeLessThan(45);
});
