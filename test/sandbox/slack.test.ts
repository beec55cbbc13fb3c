import {
  type Logger,
  LogLevel,
  WebAPIHTTPError,
  WebAPIPlatformError,
  WebAPIRateLimitedError,
  WebClient,
} from '@slack/web-api';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
afterAll(() => sandbox.close());

const CHANNEL = 'C0INCIDENTS';

/** The refusals are what is tested; the SDK would print each of them. */
const silent: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  setLevel() {},
  getLevel: () => LogLevel.ERROR,
  setName() {},
};

function client(token = 'xoxb-good-1234', timeout = 5000): WebClient {
  return new WebClient(token, {
    slackApiUrl: sandbox.addresses.slackApiUrl,
    retryConfig: { retries: 0 },
    rejectRateLimitedCalls: true,
    timeout,
    logger: silent,
  });
}

async function refusedWith(call: Promise<unknown>): Promise<Record<string, unknown>> {
  const error = await call.then(
    () => new Error('it was accepted'),
    (reason) => reason,
  );
  if (!(error instanceof WebAPIPlatformError)) throw error;
  return error.data as unknown as Record<string, unknown>;
}

const marker = { event_type: 'tocsin_delivery', event_payload: { id: 'dl_1', rev: 1 } };

test('a post stands in the channel with its blocks, and its metadata is read back only on request', async () => {
  const blocks = [{ type: 'section', block_id: 'tc:dl_1:1', text: { type: 'mrkdwn', text: '*down*' } }];
  const posted = await client().chat.postMessage({ channel: CHANNEL, text: 'down', blocks, metadata: marker });
  expect(posted.ts).toMatch(/^\d{10}\.\d{6}$/);
  expect(sandbox.slack.channel(CHANNEL)).toMatchObject([{ ts: posted.ts, text: 'down', blocks, metadata: marker }]);

  const plain = await client().conversations.history({ channel: CHANNEL, limit: 15 });
  expect(plain.messages?.[0]).not.toHaveProperty('metadata');
  const full = await client().conversations.history({
    channel: CHANNEL,
    oldest: posted.ts,
    inclusive: true,
    limit: 15,
    include_all_metadata: true,
  });
  expect(full.messages?.[0]).toMatchObject({ metadata: marker, bot_id: posted.message?.bot_id });
});

test('a JSON body does what the form does', async () => {
  const response = await fetch(`${sandbox.addresses.slackApiUrl}chat.postMessage`, {
    method: 'POST',
    headers: { authorization: 'Bearer xoxb-json-7777', 'content-type': 'application/json' },
    body: JSON.stringify({ channel: CHANNEL, text: 'as JSON' }),
  });
  expect(await response.json()).toMatchObject({ ok: true });
  expect(sandbox.requests('slack')[0]?.headers.authorization).toBe('…7777');
});

test('history is newest first and pages backwards by cursor', async () => {
  for (const said of ['one', 'two', 'three']) await client().chat.postMessage({ channel: CHANNEL, text: said });
  const first = await client().conversations.history({ channel: CHANNEL, limit: 2 });
  expect(first.messages?.map(({ text }) => text)).toEqual(['three', 'two']);
  const cursor = first.response_metadata?.next_cursor;
  const second = await client().conversations.history({ channel: CHANNEL, limit: 2, cursor, inclusive: true });
  expect(second.messages?.map(({ text }) => text)).toEqual(['one']);
  expect(second.has_more).toBe(false);
});

test('replies stand in their thread and not in the history', async () => {
  const parent = await client().chat.postMessage({ channel: CHANNEL, text: 'parent' });
  const ts = String(parent.ts);
  await client().chat.postMessage({ channel: CHANNEL, text: 'reply', thread_ts: ts });
  const history = await client().conversations.history({ channel: CHANNEL });
  expect(history.messages).toMatchObject([{ text: 'parent', reply_count: 1, thread_ts: ts }]);
  const thread = await client().conversations.replies({ channel: CHANNEL, ts });
  expect(thread.messages?.map(({ text }) => text)).toEqual(['parent', 'reply']);
  expect(await refusedWith(client().conversations.replies({ channel: CHANNEL, ts: '1.1' }))).toMatchObject({
    error: 'thread_not_found',
  });
});

test('only the author edits and deletes, and a deleted message is not found again', async () => {
  const { ts } = await client().chat.postMessage({ channel: CHANNEL, text: 'first' });
  const own = { channel: CHANNEL, ts: String(ts) };
  const other = client('xoxb-another-bot');
  expect(await refusedWith(other.chat.update({ ...own, text: 'mine' }))).toMatchObject({
    error: 'cant_update_message',
  });
  expect(await refusedWith(other.chat.delete(own))).toMatchObject({ error: 'cant_delete_message' });

  await client().chat.update({ ...own, text: 'second' });
  expect(sandbox.slack.channel(CHANNEL)).toMatchObject([{ text: 'second', edited: {} }]);
  await client().chat.delete(own);
  expect(sandbox.slack.channel(CHANNEL)).toEqual([]);
  expect(await refusedWith(client().chat.delete(own))).toMatchObject({ error: 'message_not_found' });
  expect(await refusedWith(client().chat.update({ ...own, text: 'third' }))).toMatchObject({
    error: 'message_not_found',
  });
});

test.each([
  ['CMISSING1', 'channel_not_found'],
  ['#general', 'channel_not_found'],
  ['CNOTIN1', 'not_in_channel'],
  ['CARCHIVED1', 'is_archived'],
])('a post to %s is refused as %s', async (channel, error) => {
  expect(await refusedWith(client().chat.postMessage({ channel, text: 'x' }))).toMatchObject({ error });
});

test.each([
  ['xoxp-user', 'invalid_auth'],
  ['xoxb-revoked-1', 'token_revoked'],
])('the token %s is refused as %s', async (token, error) => {
  expect(await refusedWith(client(token).auth.test())).toMatchObject({ error });
});

test('a token without a scope is told which one it lacks', async () => {
  const noRead = await refusedWith(client('xoxb-noscope-1').conversations.history({ channel: CHANNEL }));
  expect(noRead).toMatchObject({ error: 'missing_scope', needed: 'channels:history' });
  const noWrite = await refusedWith(client('xoxb-nowrite-1').chat.postMessage({ channel: CHANNEL, text: 'x' }));
  expect(noWrite).toMatchObject({ error: 'missing_scope', needed: 'chat:write' });
  const who = await client().auth.test();
  expect(who.response_metadata?.scopes).toContain('chat:write');
});

const section = (text: string) => ({ type: 'section', text: { type: 'mrkdwn', text } });
test.each([
  ['51 blocks', Array.from({ length: 51 }, () => section('x')), 'invalid_blocks'],
  ['a section of 3001 characters', [section('x'.repeat(3001))], 'invalid_blocks'],
  ['a header of 151', [{ type: 'header', text: { type: 'plain_text', text: 'x'.repeat(151) } }], 'invalid_blocks'],
  ['11 fields', [{ type: 'section', fields: Array(11).fill({ type: 'mrkdwn', text: 'x' }) }], 'invalid_blocks'],
  ['an unheard-of block', [{ type: 'banner' }], 'invalid_blocks'],
  ['blocks of 15,000 in all', Array.from({ length: 5 }, () => section('x'.repeat(3000))), 'msg_blocks_too_long'],
])('%s are more than Slack takes', async (_, blocks, error) => {
  const refusal = await refusedWith(client().apiCall('chat.postMessage', { channel: CHANNEL, text: 'x', blocks }));
  expect(refusal.error).toBe(error);
  if (error === 'invalid_blocks') expect(JSON.stringify(refusal)).toContain('json-pointer:/blocks');
  expect(sandbox.slack.channel(CHANNEL)).toEqual([]);
});

test('a rate limit reaches the SDK with its delay, and nothing is posted', async () => {
  sandbox.misbehave('slack', { do: 'rateLimit', retryAfter: 7 });
  const error = await client()
    .chat.postMessage({ channel: CHANNEL, text: 'x' })
    .catch((reason) => reason);
  expect(error).toBeInstanceOf(WebAPIRateLimitedError);
  expect(error.retryAfter).toBe(7);
  expect(sandbox.slack.channel(CHANNEL)).toEqual([]);
  await client().chat.postMessage({ channel: CHANNEL, text: 'x' });
});

test('an error that may have partly succeeded comes as HTTP 200, a 5xx as such', async () => {
  sandbox.misbehave('slack', { do: 'error', code: 'internal_error' }, { do: 'failAfterApply', status: 503 });
  const post = () => client().chat.postMessage({ channel: CHANNEL, text: 'x' });
  expect(await refusedWith(post())).toMatchObject({ error: 'internal_error' });
  const error = await post().catch((reason) => reason);
  expect(error).toBeInstanceOf(WebAPIHTTPError);
  expect(sandbox.slack.channel(CHANNEL)).toHaveLength(1);
});

test('a swallowed reply leaves the message posted and the SDK with an error, after one request', async () => {
  sandbox.misbehave('slack', { do: 'swallow' });
  await expect(client().chat.postMessage({ channel: CHANNEL, text: 'x' })).rejects.toThrow();
  expect(sandbox.slack.channel(CHANNEL)).toHaveLength(1);
  expect(sandbox.requests('slack')).toMatchObject([{ place: CHANNEL, fault: 'swallow', status: null }]);
});

test('a fault meets only its channel and only what it is on', async () => {
  sandbox.misbehave('slack', { do: 'refuse', status: 500, place: 'C0OTHER' }, { do: 'drop', on: 'read' });
  await client().chat.postMessage({ channel: CHANNEL, text: 'x' });
  await expect(client().chat.postMessage({ channel: 'C0OTHER', text: 'x' })).rejects.toThrow();
  await expect(client().conversations.history({ channel: CHANNEL })).rejects.toThrow();
  await client().conversations.history({ channel: CHANNEL });
});
