import { describe, expect, it } from 'vitest';
import { jira } from '../../src/destinations/jira/index.ts';
import { newWire } from '../../src/destinations/wire.ts';
import { faultOf, receiptOf, stage } from './stage.ts';
import { adapterSuite, noticeOf } from './suite.ts';

adapterSuite(jira, (sandbox) => {
  const settings = { apiUrl: sandbox.addresses.jiraApiUrl, projectKey: 'OPS', issueType: 'Task' };
  const secrets = { email: 'tocsin@example.com', apiToken: 'ATATT-0123456789' };
  return {
    service: 'jira',
    configuration: { settings, secrets },
    unreachable: { settings: { ...settings, apiUrl: 'http://127.0.0.1:2' }, secrets },
    texts: () =>
      sandbox.jira
        .issues('OPS')
        .flatMap((issue) => [issue, ...issue.comments])
        .map((each) =>
          JSON.stringify(each, (name, value) => (name === 'updated' || name === 'comments' ? undefined : value)),
        ),
  };
});

describe('jira', () => {
  const scene = stage(jira);
  const configuration = (settings: object = {}, apiToken = 'ATATT-0123456789') => ({
    settings: { apiUrl: scene.sandbox.addresses.jiraApiUrl, projectKey: 'OPS', issueType: 'Task', ...settings },
    secrets: { email: 'tocsin@example.com', apiToken },
  });

  it('finds an issue once the search has caught up with it', async () => {
    const at = configuration();
    const since = new Date();
    scene.sandbox.jira.searchLagMs = 60_000;
    scene.sandbox.misbehave('jira', { do: 'swallow' });
    expect(faultOf(await scene.make('deliver', 'dl_1', at)).class).toBe('ambiguous');
    expect((await scene.make('verify', 'dl_1', at, { since })).outcome).toEqual({ is: 'absent' });
    scene.sandbox.jira.searchLagMs = 0;
    const { outcome } = await scene.make('verify', 'dl_1', at, { since });
    expect(outcome).toMatchObject({ is: 'landed', revision: 1, receipt: { issueKey: 'OPS-1' } });
  });

  it('counts back by the times of the ledger, whatever the clock of this machine says', async () => {
    // Ten minutes ahead of this machine's clock, and 290 seconds from the send to the look.
    const since = new Date(Date.now() + 600_000);
    const startedAt = new Date(since.getTime() + 290_000);
    await scene.make('verify', 'dl_1', configuration(), { since, startedAt });
    expect(JSON.stringify(scene.sandbox.requests('jira')[0]?.body)).toContain('created >= \\"-10m\\"');
  });

  it('looks for what another account sent among all issues, and believes no absence there', async () => {
    const at = configuration();
    receiptOf(await scene.make('deliver', 'dl_1', at));
    const place = { ...jira.place?.(at.settings, at.secrets) };
    const rotated = { ...at, secrets: { ...at.secrets, email: 'new-bot@example.com' } };
    const look = async (key: string) => (await scene.make('verify', key, rotated, { place })).outcome;
    expect(await look('dl_1')).toMatchObject({ is: 'landed', receipt: { issueKey: 'OPS-1' } });
    expect(await look('dl_2')).toMatchObject({ is: 'unclear', fault: { reason: 'unclear' } });
    expect(JSON.stringify(place)).not.toContain(at.secrets.email);
  });

  it('touches no issue of another Jira under an id that was meant for the first', async () => {
    const at = configuration();
    const receipt = receiptOf(await scene.make('deliver', 'dl_1', at));
    const place = jira.place?.(at.settings, at.secrets);
    const moved = configuration({ apiUrl: scene.sandbox.addresses.jiraApiUrl.replace('127.0.0.1', 'localhost') });
    const before = scene.sandbox.requests('jira').length;
    for (const action of ['revise', 'retract'] as const) {
      const fault = faultOf(await scene.make(action, 'dl_1', moved, { receipt, revision: 2 }));
      expect(fault).toMatchObject({ class: 'permanent', reason: 'other_site' });
    }
    expect(faultOf(await scene.make('deliver', 'dl_2', moved, { root: receipt }))).toMatchObject({ rootGone: true });
    expect(faultOf(await scene.make('verify', 'dl_1', moved, { place })).reason).toBe('unclear');
    expect(scene.sandbox.requests('jira')).toHaveLength(before);
  });

  it('continues a topic as comments on its first issue, and edits and deletes them there', async () => {
    const at = configuration();
    const root = receiptOf(await scene.make('deliver', 'dl_1', at));
    const receipt = receiptOf(await scene.make('deliver', 'dl_2', at, { root }));
    expect(receipt).toMatchObject({ issueKey: root.issueKey, commentId: expect.any(String) });
    const notice = noticeOf('dl_2', { title: 'Better now' }, { revision: 2 });
    receiptOf(await scene.make('revise', 'dl_2', at, { root, receipt, notice, revision: 2 }));
    expect(JSON.stringify(scene.sandbox.jira.issue('OPS-1')?.comments)).toContain('Better now');
    const found = await scene.make('verify', 'dl_2', at, { root });
    expect(found.outcome).toMatchObject({ is: 'landed', revision: 2 });
    receiptOf(await scene.make('retract', 'dl_2', at, { root, receipt }));
    receiptOf(await scene.make('retract', 'dl_2', at, { root, receipt }));
    expect(scene.sandbox.jira.issue('OPS-1')?.comments).toEqual([]);
  });

  it('strikes a retracted issue, because there may be work in it by now', async () => {
    const at = configuration();
    const receipt = receiptOf(await scene.make('deliver', 'dl_1', at));
    const notice = noticeOf('dl_1', {}, { revision: 2, retracted: true });
    receiptOf(await scene.make('retract', 'dl_1', at, { receipt, notice, revision: 2 }));
    const issue = scene.sandbox.jira.issue('OPS-1');
    expect(issue?.summary).toBe('[Retracted] P1: checkout is down');
    expect(JSON.stringify(issue?.description)).toContain('"strike"');
  });

  it('names the limit that was met', async () => {
    scene.sandbox.misbehave('jira', { do: 'rateLimit', retryAfter: 3, reason: 'jira-per-issue-on-write' });
    const fault = faultOf(await scene.make('deliver', 'dl_1', configuration()));
    expect(fault).toMatchObject({ class: 'rate_limited', reason: 'jira-per-issue-on-write', retryAfterMs: 3000 });
  });

  it('makes no sentence of each character, or of each of a thousand complaints', async () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, n) => [`f${n}`, '']));
    for (const errors of ['text', many]) {
      scene.sandbox.misbehave('jira', { do: 'refuse', status: 400, body: { errors } });
      const { message } = faultOf(await scene.make('deliver', 'dl_1', configuration()));
      expect(message).not.toMatch(/0: t|f20:/);
    }
  });

  it('says which field was refused', async () => {
    const fault = faultOf(await scene.make('deliver', 'dl_1', configuration({ issueType: 'Nonsense' })));
    expect(fault).toMatchObject({ class: 'permanent', reason: 'invalid_issuetype' });
  });

  it('finds out before anything is sent what would go wrong', async () => {
    const check = async (at: ReturnType<typeof configuration>) => {
      const { network } = scene;
      const signal = AbortSignal.timeout(5_000);
      const way = { fetch: network.fetch, request: network.request, resolve: network.assertPublic };
      const found = await jira.check?.({ ...at, ...way, wire: newWire(), signal });
      return found?.filter(({ ok }) => !ok).map(({ name }) => name);
    };
    expect(await check(configuration())).toEqual([]);
    expect(await check(configuration({ issueType: 'Nonsense' }))).toEqual(['issue type']);
    expect(await check(configuration({ projectKey: 'NOPE' }))).toContain('project');
    expect(await check(configuration({}, 'nowrite-0123'))).toEqual([
      'create issues',
      'edit issues',
      'add comments',
      'delete own comments',
      'edit own comments',
    ]);
    expect(scene.sandbox.jira.issues()).toEqual([]);
  });

  it('takes no project key that could be more than one', () => {
    const settings = { apiUrl: 'https://you.atlassian.net', issueType: 'Task' };
    for (const projectKey of ['ops', 'OPS" OR project = "X', '../x', '']) {
      expect(jira.settings.safeParse({ ...settings, projectKey }).success).toBe(false);
    }
    expect(jira.receipt.safeParse({ at: '', url: null, issueKey: 'OPS-1', issueId: '1/../../myself' }).success).toBe(
      false,
    );
  });
});
