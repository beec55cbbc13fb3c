import type { KnownBlock } from '@slack/web-api';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';
import type { FaultClass } from '../../src/delivery/outcome.ts';
import { inspect } from '../../src/destinations/inspect.ts';
import { parse } from '../../src/destinations/markdown/tree.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { perform } from '../../src/destinations/perform.ts';
import { slack } from '../../src/destinations/slack/index.ts';
import { mrkdwn, pieces } from '../../src/destinations/slack/mrkdwn.ts';
import { adapterSuite, monster, noticeOf, rendered } from './suite.ts';

const channel = 'C0INCIDENTS';
const secrets = { token: 'xoxb-1234567890-abcdefghij' };

adapterSuite(slack, (sandbox) => {
  const settings = { channel, apiUrl: sandbox.addresses.slackApiUrl };
  return {
    service: 'slack',
    configuration: { settings, secrets },
    unreachable: { settings: { ...settings, apiUrl: 'http://127.0.0.1:2/api/' }, secrets },
    texts: () => sandbox.slack.channel(channel).map(({ text }) => text),
  };
});

describe("Slack's faults", () => {
  let sandbox: Sandbox;
  let network: Network;

  beforeAll(async () => {
    sandbox = await startSandbox();
    network = createNetwork({ allowPrivateNetworks: true });
  });
  beforeEach(() => sandbox.reset());
  afterAll(async () => {
    await network.close();
    await sandbox.close();
  });

  const taskOf = (place = channel) => ({
    settings: { channel: place, apiUrl: sandbox.addresses.slackApiUrl },
    secrets,
    key: 'dl_1',
    revision: 1,
    receipt: null,
    root: null,
    since: new Date(),
    startedAt: new Date(),
    notice: noticeOf('dl_1'),
    timeoutMs: 2_000,
  });

  const codes: [string, FaultClass, boolean][] = [
    ['internal_error', 'ambiguous', false],
    ['fatal_error', 'ambiguous', false],
    ['service_unavailable', 'ambiguous', false],
    ['duplicate_message_not_found', 'ambiguous', false],
    ['ratelimited', 'rate_limited', false],
    ['rate_limited', 'rate_limited', false],
    ['request_timeout', 'transient', false],
    ['team_added_to_org', 'transient', false],
    ['invalid_auth', 'permanent', true],
    ['token_revoked', 'permanent', true],
    ['missing_scope', 'permanent', true],
    ['channel_not_found', 'permanent', false],
    ['not_in_channel', 'permanent', false],
    ['is_archived', 'permanent', false],
    ['invalid_blocks', 'permanent', false],
    ['a_code_of_tomorrow', 'permanent', false],
    ['<html>', 'ambiguous', false],
  ];

  it.each(codes)('sorts %s', async (code, expected, credential) => {
    sandbox.misbehave('slack', { do: 'error', code });
    const { outcome } = await perform(slack, { ...taskOf(), action: 'deliver' }, network);
    expect(outcome).toMatchObject({ is: 'fault', fault: { class: expected, status: 200 } });
    if (outcome.is === 'fault') expect(outcome.fault.credential ?? false).toBe(credential);
    expect(sandbox.requests('slack')).toHaveLength(1);
  });

  it('finds its message behind much that was said since', async () => {
    const since = new Date();
    await perform(slack, { ...taskOf(), action: 'deliver' }, network);
    for (let n = 0; n < 40; n += 1) sandbox.slack.say(channel, `what is going on? ${n}`);
    const { outcome } = await perform(slack, { ...taskOf(), since, action: 'verify' }, network);
    expect(outcome).toMatchObject({ is: 'landed', revision: 1, receipt: { channel } });
  });

  it('links to the message, and from a reply to its thread', async () => {
    const { outcome } = await perform(slack, { ...taskOf(), action: 'deliver' }, network);
    if (outcome.is !== 'success') throw new Error('not delivered');
    const { ts, url } = outcome.receipt as unknown as { ts: string; url: string };
    expect(url).toBe(`${sandbox.url}/slack/archives/${channel}/p${ts.replace('.', '')}`);
    const reply = await perform(slack, { ...taskOf(), action: 'deliver', root: outcome.receipt }, network);
    expect(reply.outcome).toMatchObject({ receipt: { thread: ts, url: expect.stringContaining(`thread_ts=${ts}`) } });
  });

  it('checks token, scopes and membership, and says what to do', async () => {
    const look = async (place: string, token: string) => {
      const task = taskOf(place);
      return inspect(slack, { ...task, secrets: { token } }, network);
    };
    expect((await look(channel, 'xoxb-good')).map(({ ok }) => ok)).toEqual([true, true, true, true]);
    expect(await look(channel, 'xoxb-noscope')).toContainEqual(
      expect.objectContaining({
        name: 'scope to verify',
        ok: false,
        detail: expect.stringContaining('channels:history'),
      }),
    );
    expect(await look('CNOTIN1', 'xoxb-good')).toContainEqual(
      expect.objectContaining({ name: 'channel', ok: false, detail: expect.stringContaining('/invite') }),
    );
    expect(await look(channel, 'xoxb-revoked')).toEqual([expect.objectContaining({ name: 'token', ok: false })]);
    expect(sandbox.requests('slack').every(({ path }) => !path.includes('chat.'))).toBe(true);
  });
});

describe("Slack's rendering", () => {
  const at = { channel, apiUrl: 'https://slack.com/api/' };
  const everyText = (value: unknown): string[] => {
    if (typeof value === 'string') return [value];
    return value !== null && typeof value === 'object' ? Object.values(value).flatMap(everyText) : [];
  };

  it('says everything, marked for finding it again', () => {
    const message = {
      title: 'P1: checkout is down',
      body: 'Error rate **42 %** since 14:02.\n\n- one\n- two',
      severity: 'critical' as const,
      fields: [{ name: 'Service', value: 'checkout' }],
      links: [{ text: 'Runbook', url: 'https://example.com/run?a=1&b=2' }],
    };
    expect(rendered(slack, noticeOf('dl_1', message, { topic: 'INC-1234', revision: 3 }), at)).toMatchSnapshot();
  });

  it.each([
    '<!channel> & *x*',
    '<!here> <@U123> <#C123> <!subteam^S123|ops> <!everyone>',
    '`<!channel>` and\n```\n<!channel>\n```',
    '[a<!here>](https://e.com) ![<!here>](https://e.com/x) [x](https://e.com/a%20b|<!channel>)',
    '[x]: https://e.com/b|c>d "<!here>"\n\n[x]',
    '| a |\n|---|\n| <!channel> |',
    '<b><!channel></b> \\<!channel> &lt;!channel&gt;',
    '`` ` `` <!channel> ` <@U1> `',
    'https://example.com/%ZZ <!channel>',
    '[x](https://example.com/%ZZ) <!channel>',
  ])('lets %j notify nobody, wherever it stands', (text) => {
    const fields = [{ name: text, value: text }];
    const links = [{ text, url: 'https://example.com/?<!here>|' }];
    const payload = rendered(slack, noticeOf('dl_1', { title: text, body: text, fields, links }, { topic: text }), at);
    for (const shown of everyText(payload)) expect(shown.replace(/<https?:[^<>]*>/g, '')).not.toMatch(/[<>](?! )/);
  });

  it('cuts the longest text visibly, between characters, within every limit', () => {
    const { blocks, attachments } = rendered(slack, noticeOf('dl_1', monster), at);
    const all = [...blocks, ...(attachments[0]?.blocks ?? [])] as KnownBlock[];
    expect(JSON.stringify(all).length).toBeLessThan(16_000);
    expect(JSON.stringify(all)).toContain('…');
    expect(everyText(all).every((text) => text.isWellFormed())).toBe(true);
  });

  it('keeps links, and code blocks on both sides of a cut', () => {
    expect(mrkdwn(parse('**b** [t](https://e.com/?a=1&b=2) `x<y`'), 1_000)).toContain('<https://e.com/?a=1&amp;b=2|t>');
    const parts = pieces(`\`\`\`\n${'some code\n'.repeat(30)}\`\`\``, 100, 10_000);
    expect(parts.length).toBeGreaterThan(2);
    for (const part of parts) {
      expect(part.length).toBeLessThanOrEqual(100);
      expect(part).toMatch(/^```\n[^`]*\n```$/);
    }
  });

  it('cuts neither links nor escaped characters in two', () => {
    const text = `${'&amp;'.repeat(50)}<https://example.com|link>${'&lt;'.repeat(50)}`;
    for (const part of pieces(text, 60, 10_000)) expect(part.replace(/&(amp|lt);|<[^<>]*>|…/g, '')).toBe('');
  });
});
