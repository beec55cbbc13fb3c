import { type ApiError, type CloudClient, createCloudClient, isApiError } from 'jira.js';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
afterAll(() => sandbox.close());

/** Refuses an answer that is not shaped as Jira documents it. */
function client(apiToken = 'good', email = 'tocsin@example.com'): CloudClient {
  const auth = { type: 'basic', email, apiToken } as const;
  return createCloudClient({ host: sandbox.addresses.jiraApiUrl, auth, onSchemaMismatch: 'throw' });
}

function document(...paragraphs: string[]) {
  const content = paragraphs.map((text) => ({
    type: 'paragraph' as const,
    content: [{ type: 'text' as const, text }],
  }));
  return { type: 'doc' as const, version: 1 as const, content };
}

const marker = [{ key: 'tocsin.delivery', value: { id: 'dl_1' } }];
function issue(over: Record<string, unknown> = {}) {
  const project = { key: 'OPS' };
  const base = { project, issuetype: { name: 'Task' }, summary: 'Checkout is down', description: document('Look.') };
  return { fields: { ...base, labels: ['tocsin-1'], priority: { name: 'High' }, ...over }, properties: marker };
}

async function refused(call: Promise<unknown>): Promise<ApiError> {
  const reason = await call.then(
    () => new Error('it was accepted'),
    (error) => error,
  );
  if (!isApiError(reason)) throw reason;
  return reason;
}

const find = (jql: string, over: Record<string, unknown> = {}) =>
  client().issueSearch.searchAndReconsileIssuesUsingJqlPost({
    jql,
    fields: ['created', 'summary'],
    properties: ['tocsin.delivery'],
    ...over,
  });
const OWN = 'project = "OPS" AND creator = currentUser() AND created >= "-30m" ORDER BY created DESC';

test('an issue is created with its property and found again by it', async () => {
  const created = await client().issues.createIssue(issue());
  expect(created).toMatchObject({ key: 'OPS-1', id: expect.any(String) });
  expect(sandbox.jira.issue('OPS-1')).toMatchObject({
    labels: ['tocsin-1'],
    properties: { 'tocsin.delivery': { id: 'dl_1' } },
  });

  const found = await find(OWN);
  expect(found.issues).toMatchObject([{ key: 'OPS-1', properties: { 'tocsin.delivery': { id: 'dl_1' } } }]);
  expect(found.issues?.[0]?.fields).not.toHaveProperty('description');
  expect((await find('labels = "tocsin-1"')).issues).toHaveLength(1);
  expect((await find('labels = other AND project = OPS')).issues).toHaveLength(0);
});

test('search looks at who asks, and pages', async () => {
  for (const summary of ['one', 'two', 'three']) await client().issues.createIssue(issue({ summary }));
  await client('good', 'someone@example.com').issues.createIssue(issue());
  const first = await find(OWN, { maxResults: 2 });
  expect(first.issues?.map((each) => each.fields?.summary)).toEqual(['three', 'two']);
  const rest = await find(OWN, { maxResults: 2, nextPageToken: first.nextPageToken });
  expect(rest).toMatchObject({ isLast: true, issues: [{ fields: { summary: 'one' } }] });
});

test('the search index may lag while the issue can be read by its key', async () => {
  sandbox.jira.searchLagMs = 60_000;
  await client().issues.createIssue(issue());
  expect((await find(OWN)).issues).toEqual([]);
  const bulk = { issueIdsOrKeys: ['OPS-1', 'OPS-2'], properties: ['tocsin.delivery'] };
  expect((await client().issues.bulkFetchIssues(bulk)).issues).toMatchObject([{ key: 'OPS-1' }]);
  sandbox.jira.searchLagMs = 0;
  expect((await find(OWN)).issues).toHaveLength(1);
});

test.each([['summary ~'], ['favourite = 1'], ['project = NOPE1'], ['ORDER BY created'], ['created >= yesterday']])(
  'the query %s is refused in words',
  async (jql) => {
    const error = await refused(find(jql));
    expect(error).toMatchObject({ status: 400, body: { errorMessages: [expect.any(String)] } });
  },
);

test.each([
  ['summary', 'x'.repeat(256)],
  ['summary', 'two\nlines'],
  ['description', 'plain text'],
  ['description', document('')],
  ['description', document('x'.repeat(32_768))],
  ['issuetype', { name: 'Wish' }],
  ['labels', ['with space']],
  ['project', { key: 'NOPE' }],
  ['priority', { name: 'Sometime' }],
])('a wrong %s names its field and creates nothing', async (field, value) => {
  const response = await fetch(`${sandbox.addresses.jiraApiUrl}/rest/api/3/issue`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa('a@b.example:good')}`, 'content-type': 'application/json' },
    body: JSON.stringify(issue({ [field]: value })),
  });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ errors: { [field]: expect.any(String) } });
  expect(sandbox.jira.issues()).toEqual([]);
});

test('an issue is edited, moved and deleted', async () => {
  await client().issues.createIssue(issue());
  await client().issues.editIssue({ issueIdOrKey: 'OPS-1', fields: { summary: 'Checkout is up' } });
  const { transitions } = await client().issues.getTransitions({ issueIdOrKey: 'OPS-1' });
  const done = transitions?.find(({ name }) => name === 'Done');
  await client().issues.doTransition({ issueIdOrKey: 'OPS-1', transition: { id: done?.id } });
  expect(sandbox.jira.issues('OPS')).toMatchObject([{ summary: 'Checkout is up', status: 'Done' }]);
  await client().issues.deleteIssue({ issueIdOrKey: 'OPS-1' });
  expect(await refused(client().issues.getIssue({ issueIdOrKey: 'OPS-1' }))).toMatchObject({ status: 404 });
});

test('issue properties are read and written on their own', async () => {
  await client().issues.createIssue(issue());
  const at = { issueIdOrKey: 'OPS-1', propertyKey: 'tocsin.delivery' };
  expect(await client().issueProperties.getIssueProperty(at)).toMatchObject({ value: { id: 'dl_1' } });
  await client().issueProperties.setIssueProperty({ ...at, body: { id: 'dl_2' } });
  expect(sandbox.jira.issue('OPS-1')?.properties).toEqual({ 'tocsin.delivery': { id: 'dl_2' } });
});

test('a comment carries its property, listed newest first and shown by id', async () => {
  await client().issues.createIssue(issue());
  const { issueComments: comments, issueCommentProperties: properties } = client();
  const first = await comments.addComment({ issueIdOrKey: 'OPS-1', body: document('one'), properties: marker });
  const second = await comments.addComment({ issueIdOrKey: 'OPS-1', body: document('two') });
  const page = await comments.getComments({ issueIdOrKey: 'OPS-1', orderBy: '-created', maxResults: 20 });
  expect(page.comments?.map(({ id }) => id)).toEqual([second.id, first.id]);
  expect(page.comments?.[1]).not.toHaveProperty('properties');

  const ids = page.comments?.map(({ id }) => Number(id)) ?? [];
  const listed = await comments.getCommentsByIds({ ids, expand: 'properties' });
  expect(listed.values).toMatchObject([{ properties: [] }, { properties: marker }]);
  const commentId = String(first.id);
  const property = await properties.getCommentProperty({ commentId, propertyKey: 'tocsin.delivery' });
  expect(property.value).toEqual({ id: 'dl_1' });

  await comments.updateComment({ issueIdOrKey: 'OPS-1', id: commentId, body: { body: document('one, better') } });
  await comments.deleteComment({ issueIdOrKey: 'OPS-1', id: String(second.id) });
  expect(sandbox.jira.issue('OPS-1')?.comments).toMatchObject([
    { body: document('one, better'), properties: { 'tocsin.delivery': {} } },
  ]);
});

test('credentials, project, issue types and permissions can be checked beforehand', async () => {
  expect(await client().myself.getCurrentUser()).toMatchObject({ emailAddress: 'tocsin@example.com' });
  expect(await client().serverInfo.getServerInfo()).toMatchObject({ deploymentType: 'Cloud' });
  expect(await client().projects.getProject({ projectIdOrKey: 'OPS' })).toMatchObject({ key: 'OPS' });
  expect(await refused(client().projects.getProject({ projectIdOrKey: 'NOPE' }))).toMatchObject({ status: 404 });
  const types = await client().issues.getCreateIssueMetaIssueTypes({ projectIdOrKey: 'OPS' });
  expect(types.issueTypes?.map(({ name }) => name)).toEqual(['Task', 'Bug', 'Incident']);
  const asked = { projectKey: 'OPS', permissions: 'BROWSE_PROJECTS,CREATE_ISSUES' };
  expect(await client('nowrite').permissions.getMyPermissions(asked)).toMatchObject({
    permissions: { BROWSE_PROJECTS: { havePermission: true }, CREATE_ISSUES: { havePermission: false } },
  });
  expect(await refused(client('bad').myself.getCurrentUser())).toMatchObject({ status: 401 });
  expect(await refused(client('nowrite').issues.createIssue(issue()))).toMatchObject({ status: 403 });
});

test('a rate limit says how long, and what for', async () => {
  sandbox.misbehave('jira', { do: 'rateLimit', retryAfter: 3, reason: 'jira-per-issue-on-write', place: 'OPS' });
  const error = await refused(client().issues.createIssue(issue()));
  expect(error).toMatchObject({ status: 429, retryAfterMs: 3000 });

  sandbox.misbehave('jira', { do: 'rateLimit', retryAfter: null, on: 'any' });
  const response = await fetch(`${sandbox.addresses.jiraApiUrl}/rest/api/3/myself`);
  expect(response.headers.get('ratelimit-reason')).toBe('jira-burst-based');
  expect(response.headers.get('retry-after')).toBeNull();
});

test('a lost reply and a 5xx leave the issue created; a refusal does not', async () => {
  sandbox.misbehave('jira', { do: 'swallow' }, { do: 'failAfterApply', status: 502 }, { do: 'error', code: 'No.' });
  await expect(client().issues.createIssue(issue())).rejects.toThrow();
  expect(await refused(client().issues.createIssue(issue()))).toMatchObject({ status: 502 });
  expect(await refused(client().issues.createIssue(issue()))).toMatchObject({
    status: 400,
    body: { errorMessages: ['No.'] },
  });
  expect(sandbox.jira.issues('OPS')).toHaveLength(2);
  expect(sandbox.requests('jira').map(({ status }) => status)).toEqual([null, 502, 400]);
});
