import { randomUUID } from 'node:crypto';
import { Client, type Context, type GraphError, type Middleware } from '@microsoft/microsoft-graph-client';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
afterAll(() => sandbox.close());

const TEAM = 'fbe2bf47-16c8-47cf-b4a5-4b9b187c508b';
const CHANNEL = '19:4a95f7d8db4c4e7fae857bcebe0623e6@thread.tacv2';
const MESSAGES = `/teams/${TEAM}/channels/${encodeURIComponent(CHANNEL)}/messages`;

/** One fetch and nothing around it: the default chain drops the token on plain http and repeats posts by itself. */
class OneRequest implements Middleware {
  readonly token: string;
  constructor(token: string) {
    this.token = token;
  }
  async execute(context: Context): Promise<void> {
    const headers = new Headers(context.options?.headers as Record<string, string>);
    headers.set('authorization', `Bearer ${this.token}`);
    context.response = await fetch(context.request, { ...(context.options as RequestInit), headers });
  }
}

function client(token = 'static-1'): Client {
  // The client puts the version after its base URL by itself.
  const baseUrl = sandbox.addresses.graphApiUrl.replace('v1.0/', '');
  return Client.initWithMiddleware({ baseUrl, defaultVersion: 'v1.0', middleware: new OneRequest(token) });
}

function card(id = randomUUID(), words = 'down'): object {
  const content = { type: 'AdaptiveCard', version: '1.4', body: [{ type: 'TextBlock', text: words }] };
  const contentType = 'application/vnd.microsoft.card.adaptive';
  return {
    subject: 'P1',
    body: { contentType: 'html', content: `<attachment id="${id}"></attachment>` },
    attachments: [{ id, contentType, content: JSON.stringify(content) }],
  };
}

async function refused(call: Promise<unknown>): Promise<GraphError> {
  return await call.then(
    () => {
      throw new Error('it was accepted');
    },
    (reason) => reason,
  );
}

test('a card is posted, listed with its attachment id, edited, replied to and deleted', async () => {
  const id = randomUUID();
  const post = await client().api(MESSAGES).post(card(id));
  expect(post).toMatchObject({ id: expect.stringMatching(/^\d{13}$/), webUrl: expect.stringContaining('http') });
  const me = await client().api('/me').get();
  expect(post.from.user.id).toBe(me.id);

  const listed = await client().api(`${MESSAGES}?$top=50`).get();
  expect(listed.value).toMatchObject([{ id: post.id, attachments: [{ id }] }]);

  await client().api(`${MESSAGES}/${post.id}/replies`).post(card());
  await client().api(`${MESSAGES}/${post.id}`).patch(card(id, 'up again'));
  const [seen] = sandbox.graph.channel(TEAM, CHANNEL);
  expect(seen?.attachments[0]?.content).toContain('up again');
  expect(seen?.replies).toHaveLength(1);

  await client().api(`${MESSAGES}/${post.id}/softDelete`).post({});
  expect(sandbox.graph.channel(TEAM, CHANNEL)).toEqual([]);
  const gone = await client().api(`${MESSAGES}/${post.id}`).get();
  expect(gone).toMatchObject({ deletedDateTime: expect.any(String), attachments: [] });
});

test('replies are listed newest first, edited and deleted on their own path', async () => {
  const post = sandbox.graph.say(TEAM, CHANNEL, 'anything wrong?');
  const replies = `${MESSAGES}/${post.id}/replies`;
  const first = await client()
    .api(replies)
    .post({ body: { content: 'one' } });
  const second = await client()
    .api(replies)
    .post({ body: { content: 'two' } });
  const listed = await client().api(replies).get();
  expect(listed.value.map((each: { id: string }) => each.id)).toEqual([second.id, first.id]);
  await client()
    .api(`${replies}/${first.id}`)
    .patch({ body: { content: 'one, better' } });
  await client().api(`${replies}/${second.id}/softDelete`).post({});
  expect(sandbox.graph.channel(TEAM, CHANNEL)[0]?.replies).toMatchObject([{ body: { content: 'one, better' } }]);
});

test('only the sender changes a message', async () => {
  const post = sandbox.graph.say(TEAM, CHANNEL, 'mine');
  const error = await refused(
    client()
      .api(`${MESSAGES}/${post.id}`)
      .patch({ body: { content: 'yours' } }),
  );
  expect(error).toMatchObject({ statusCode: 403, code: 'Forbidden' });
});

test.each([
  ['/teams/missing/channels/19:a', 404, 'NotFound'],
  ['/teams/t/channels/missing', 404, 'NotFound'],
  ['/teams/t/channels/c/messages/1', 404, 'NotFound'],
  ['/teams/t/channels/c/messages?$top=51', 400, 'BadRequest'],
])('GET %s is refused with %i %s', async (path, statusCode, code) => {
  expect(await refused(client().api(path).get())).toMatchObject({ statusCode, code });
});

test('what Teams could not show is refused, and nothing is posted', async () => {
  const unreferenced = { ...card(), body: { contentType: 'html', content: 'see below' } };
  expect(await refused(client().api(MESSAGES).post(unreferenced))).toMatchObject({ statusCode: 400 });
  expect(await refused(client().api(MESSAGES).post({ subject: 'no body' }))).toMatchObject({ statusCode: 400 });
  const long = { body: { contentType: 'html', content: 'x'.repeat(29_000) } };
  expect(await refused(client().api(MESSAGES).post(long))).toMatchObject({ code: 'RequestEntityTooLarge' });
  const archived = client().api('/teams/archived1/channels/c/messages').post(card());
  expect(await refused(archived)).toMatchObject({ statusCode: 403 });
  expect(sandbox.graph.channel(TEAM, CHANNEL)).toEqual([]);
});

async function refresh(refreshToken: string, url = sandbox.addresses.graphTokenUrl) {
  const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: 'app', refresh_token: refreshToken });
  const response = await fetch(url, { method: 'POST', body });
  return { status: response.status, said: (await response.json()) as Record<string, string> };
}

test('a refresh token buys an access token until it is revoked', async () => {
  const { said } = await refresh('a-refresh-token');
  await client(said.access_token).api('/me').get();
  expect(sandbox.requests('graph')[0]).toMatchObject({ place: 'token', body: { refresh_token: '…oken' } });

  sandbox.graph.expireTokens();
  const expired = await refused(client(said.access_token).api('/me').get());
  expect(expired).toMatchObject({ statusCode: 401, code: 'InvalidAuthenticationToken' });
  expect(await refresh('revoked-1')).toMatchObject({ status: 400, said: { error: 'invalid_grant' } });
});

test('the tenant may stand in the path, a lifetime of no seconds is over at once, a spent refresh token is refused', async () => {
  sandbox.graph.tokenLifetimeSeconds = 0;
  sandbox.graph.rotateRefreshTokens = true;
  const { said } = await refresh('first', `${sandbox.url}/graph/contoso/oauth2/v2.0/token`);
  expect(await refused(client(said.access_token).api('/me').get())).toMatchObject({ statusCode: 401 });
  expect((await refresh('first')).status).toBe(400);
  expect((await refresh(String(said.refresh_token))).status).toBe(200);
});

test('faults leave the token endpoint alone unless they name it', async () => {
  sandbox.misbehave('graph', { do: 'refuse', status: 503, on: 'any' }, { do: 'refuse', status: 500, place: 'token' });
  expect((await refresh('a')).status).toBe(500);
  expect((await refresh('a')).status).toBe(200);
  expect(await refused(client().api(MESSAGES).post(card()))).toMatchObject({ statusCode: 503 });
});

test('a rate limit keeps its Retry-After, in seconds or as a date', async () => {
  const at = new Date(Date.now() + 5000).toUTCString();
  sandbox.misbehave('graph', { do: 'rateLimit', retryAfter: 9 }, { do: 'rateLimit', retryAfter: at });
  const first = await refused(client().api(MESSAGES).post(card()));
  expect(first).toMatchObject({ statusCode: 429, code: 'TooManyRequests' });
  expect(first.headers?.get('retry-after')).toBe('9');
  expect((await refused(client().api(MESSAGES).post(card()))).headers?.get('retry-after')).toBe(at);
});

test('a success that can not be read is posted all the same', async () => {
  sandbox.misbehave('graph', { do: 'garble', body: 'truncated' }, { do: 'garble', body: 'empty' }, { do: 'swallow' });
  const post = () => refused(client().api(MESSAGES).post(card()));
  expect(await post()).toMatchObject({ statusCode: 201, code: 'SyntaxError' });
  expect(await post()).toMatchObject({ statusCode: 201 });
  expect(await post()).toMatchObject({ statusCode: -1 });
  expect(sandbox.graph.channel(TEAM, CHANNEL)).toHaveLength(3);
  expect(sandbox.requests('graph')).toHaveLength(3);
});

test('an error code brings its own status', async () => {
  sandbox.misbehave('graph', { do: 'error', code: 'AclCheckFailed' });
  expect(await refused(client().api(MESSAGES).post(card()))).toMatchObject({ statusCode: 403, code: 'AclCheckFailed' });
});
