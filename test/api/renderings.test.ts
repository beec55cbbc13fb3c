import { beforeAll, describe, expect, it } from 'vitest';
import { composer } from '../../src/destinations/composing.ts';
import { slack } from '../../src/destinations/slack/index.ts';
import { honestBodies, hostileBodies } from '../destinations/bodies.ts';
import { noticeOf } from '../destinations/suite.ts';
import { message, world } from './world.ts';

const here = world();

/** Of every kind that composes: what a destination takes, each with settings of its own. */
const kinds: Record<string, (n: number) => { settings: object; secrets: object }> = {
  slack: (n) => ({ settings: { channel: `C${n}ABCDEFGH` }, secrets: { token: 'xoxb-1' } }),
  teams: (n) => ({
    settings: { teamId: `team-${n}`, channelId: '19:a@thread.tacv2' },
    secrets: { accessToken: 'a.b.c' },
  }),
  'teams-workflow': (n) => ({ settings: {}, secrets: { url: `http://127.0.0.1:9/${n}` } }),
  jira: (n) => ({
    settings: { apiUrl: 'https://you.atlassian.net', projectKey: `OPS${n}`, issueType: 'Bug' },
    secrets: { email: 'ops@example.com', apiToken: 'token-0123456789' },
  }),
  email: (n) => ({
    settings: { from: 'tocsin@example.com', to: [`ops-${n}@example.com`] },
    secrets: { smtpUrl: 'smtp://127.0.0.1:2525' },
  }),
  pagerduty: (n) => ({ settings: {}, secrets: { routingKey: `r${n}`.padEnd(32, '0') } }),
};

const each = 20;
const all = Object.keys(kinds).flatMap((kind) => Array.from({ length: each }, (_, n) => `${kind}-${n}`));

beforeAll(async () => {
  for (const [kind, of] of Object.entries(kinds)) {
    for (let n = 0; n < each; n += 1) {
      const { status, text } = await here.ask('PUT', `/destinations/${kind}-${n}`, { kind, ...of(n) });
      expect(status, text).toBe(201);
    }
  }
});

/** How often the event loop turns until it is asked to stop. */
function turns(): () => number {
  let count = 0;
  let going = true;
  const turn = () => {
    count += 1;
    if (going) setImmediate(turn);
  };
  setImmediate(turn);
  return () => {
    going = false;
    return count;
  };
}

const hostile = hostileBodies['quotes that begin anew'] as string;
const honest = honestBodies['lists in lists'] as string;

describe('a message of 32 KiB to every kind', () => {
  it.each([
    ['hostile', hostile],
    ['honest', honest],
    ['in a table', honestBodies['a table'] as string],
  ])('is recorded while the event loop turns: %s', async (_, body) => {
    const counted = turns();
    const posted = await here.ask('POST', '/broadcasts', { message: { ...message, body }, destinations: all });
    expect(posted.status, posted.text.slice(0, 500)).toBe(202);
    // Composed where requests are answered, it would turn about once for each query.
    expect(counted()).toBeGreaterThan(200);
  });

  it('lets a short critical one go first', async () => {
    const done: string[] = [];
    const post = async (name: string, said: object, destinations: string[]) => {
      const { status } = await here.ask('POST', '/broadcasts', { message: { ...message, ...said }, destinations });
      expect(status).toBe(202);
      done.push(name);
    };
    await Promise.all([
      ...[1, 2, 3].map((n) => post('long', { body: `${honest.slice(0, -10)}- ${n}` }, ['jira-0', 'teams-0'])),
      post('short', { severity: 'critical', body: 'Rate **42 %**.' }, ['slack-0']),
    ]);
    expect(done.at(-1)).toBe('long');
    expect(done).toContain('short');
  });
});

describe('a preview', () => {
  const preview = (body: string, destinations: string[]) =>
    here.ask('POST', '/previews', { message: { ...message, body }, destinations });

  it.each([
    ['hostile', hostile],
    ['honest', honest],
    ['short', 'Rate **42 %**.'],
  ])('shows what an attempt composes: %s', async (_, body) => {
    const { body: shown } = await preview(body, ['slack-0']);
    const { payload } = shown.previews[0];
    // What the database hands to an attempt has its properties in another order.
    const { title } = message;
    const notice = noticeOf(payload.metadata.event_payload.id, { body, title, severity: 'info' });
    const content = await composer.compose(slack, notice);
    const sent = slack.render(notice, { channel: payload.channel, apiUrl: 'https://slack.com/api/' }, content as never);
    const withoutImprint = ({ attachments: [one], ...rest }: typeof sent) => ({
      ...rest,
      blocks: one?.blocks?.slice(0, -1),
    });
    expect(withoutImprint(payload)).toEqual(JSON.parse(JSON.stringify({ ...withoutImprint(sent) })));
  });

  it('of many long messages is refused, with how many fit', async () => {
    const body = '"'.repeat(32 * 1024);
    const refused = await preview(body, all.filter((name) => name.startsWith('email')).concat(all));
    expect(refused.status).toBe(422);
    const [{ pointer, detail }] = refused.body.errors;
    expect(pointer).toBe('/destinations');
    const fitting = Number(/at most (\d+) at a time/.exec(detail)?.[1]);
    expect(fitting).toBeGreaterThan(10);
    const emails = all.filter((name) => name.startsWith('email')).slice(0, fitting);
    expect((await preview(body, emails)).body.previews).toHaveLength(emails.length);
  });

  it('is JSON that says of each destination what it would be sent', async () => {
    const { body, headers } = await preview('Rate **42 %**.', all);
    expect(headers['content-type']).toMatch(/^application\/json/);
    expect(body.previews.map(({ destination }: { destination: string }) => destination)).toEqual(all);
  });
});
