import { describe, expect, it } from 'vitest';
import type { Adapter } from '../../src/destinations/adapter.ts';
import { adapters } from '../../src/destinations/registry.ts';
import { faultOf, receiptOf, type Stage, stage } from './stage.ts';

const long = '9'.repeat(300);

function reached(scene: Stage, kind: string): { settings: object; secrets: object } {
  const { addresses } = scene.sandbox;
  switch (kind) {
    case 'slack':
      return { settings: { channel: 'C0INCIDENTS', apiUrl: addresses.slackApiUrl }, secrets: { token: 'xoxb-1234' } };
    case 'teams': {
      const settings = { teamId: 'team', channelId: 'channel', apiUrl: addresses.graphApiUrl };
      return { settings, secrets: { accessToken: 'static-0123456789' } };
    }
    case 'jira': {
      const settings = { apiUrl: addresses.jiraApiUrl, projectKey: 'OPS', issueType: 'Task' };
      return { settings, secrets: { email: 'a@example.com', apiToken: 'token-1234' } };
    }
    default:
      return { settings: {}, secrets: { url: addresses.workflowUrl('flow') } };
  }
}

const service = (kind: string) => (kind === 'teams' ? 'graph' : (kind as 'slack' | 'jira'));

describe.each<[string, object[]]>([
  [
    'slack',
    [
      { channel: `C${long}`, ts: '1.1' },
      { channel: 'C0INCIDENTS', ts: `${long}.1` },
      { channel: {}, ts: [] },
    ],
  ],
  ['teams', [{ id: long }, { id: {} }, { id: 'm', replyToId: long }]],
  [
    'jira',
    [
      { id: '1', key: `OPS-${long}` },
      { id: long, key: 'OPS-1' },
      { id: '1', key: `${'A'.repeat(300)}-1` },
    ],
  ],
])('%s', (kind, replies) => {
  const scene = stage(adapters[kind] as Adapter);

  it.each(replies)(
    'takes a reply out of bounds for a doubt, keeps nothing of it, and finds the message (%#)',
    async (said) => {
      const at = reached(scene, kind);
      scene.sandbox.misbehave(service(kind), { do: 'answer', body: { ok: true, ...said } });
      const since = new Date();
      const { outcome } = await scene.make('deliver', 'dl_1', at);
      expect(outcome).toMatchObject({ is: 'fault', fault: { class: 'ambiguous', reason: 'unreadable_reply' } });
      expect(JSON.stringify(outcome).length).toBeLessThan(2_000);
      expect((await scene.make('verify', 'dl_1', at, { since })).outcome).toMatchObject({ is: 'landed' });
    },
  );
});

describe('what a message is found without', () => {
  const scene = { teams: stage(adapters.teams as Adapter), flow: stage(adapters['teams-workflow'] as Adapter) };

  it.each(['javascript:alert(1)', `https://teams.example/${'x'.repeat(3_000)}`, 'nonsense', 42])(
    'is left out of the receipt: a link that is none, or is too long (%#)',
    async (webUrl) => {
      const body = { id: '1', webUrl, createdDateTime: long };
      scene.teams.sandbox.misbehave('graph', { do: 'answer', body });
      const receipt = receiptOf(await scene.teams.make('deliver', 'dl_1', reached(scene.teams, 'teams')));
      expect(receipt).toMatchObject({ url: null, messageId: '1' });
      expect(Date.parse(receipt.at)).not.toBeNaN();
    },
  );

  it('is left out of the receipt: the id of a run', async () => {
    const headers = { 'x-ms-workflow-run-id': long };
    scene.flow.sandbox.misbehave('workflow', { do: 'answer', body: {}, headers });
    const at = reached(scene.flow, 'teams-workflow');
    expect(receiptOf(await scene.flow.make('deliver', 'dl_1', at))).not.toHaveProperty('runId');
  });
});

describe('a page of what was said', () => {
  const scene = stage(adapters.slack as Adapter);

  it('that names an endless next page does not tell whether the message is there', async () => {
    const body = { ok: true, messages: [], response_metadata: { next_cursor: 'x'.repeat(100_000) } };
    scene.sandbox.misbehave('slack', { do: 'answer', on: 'read', body });
    expect(faultOf(await scene.make('verify', 'dl_1', reached(scene, 'slack'))).reason).toBe('unclear');
    expect(scene.sandbox.requests('slack')).toHaveLength(1);
  });
});
