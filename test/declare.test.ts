import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { applyConfigFile } from '../src/declare.ts';
import { world } from './api/world.ts';

const here = world();
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tocsin-declare-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function apply(yaml: string, environment: Record<string, string> = {}) {
  const path = join(folder, 'tocsin.yaml');
  await writeFile(path, yaml);
  return applyConfigFile(path, here.parts, (name) => environment[name]);
}

const good = `
destinations:
  oncall: { kind: pagerduty, secrets: { routingKey: "\${ROUTING_KEY}" } }
  chat:
    kind: slack
    settings: { channel: C0123456789 }
    secrets: { token: "\${TOKEN}" }
    fallback: oncall
audiences:
  p1: { destinations: [chat, oncall] }
`;
const environment = { ROUTING_KEY: 'R'.repeat(32), TOKEN: 'xoxb-"quoted": {yaml}' };

test('what a file declares is there, with values from the environment, and may be declared again', async () => {
  expect(await apply(good, environment)).toEqual({ destinations: ['oncall', 'chat'], audiences: ['p1'] });
  await apply(good, environment);
  const chat = await here.ask('GET', '/destinations/chat');
  expect(chat.body).toMatchObject({ kind: 'slack', fallback: 'oncall', secretsSet: ['token'] });
  expect((await here.ask('GET', '/audiences/p1')).body.destinations).toEqual(['chat', 'oncall']);
});

test('what is declared again unchanged is left alone: nothing is touched, resumed or closed', async () => {
  await apply(good, environment);
  await here.ask('POST', '/destinations/chat/pause', { reason: 'maintenance' });
  await here.parts.db.query(
    `update destinations set faults = 9, breaker_until = now() + interval '1 hour' where name = 'oncall'`,
  );
  const stored = async () => {
    const { rows } = await here.parts.db.query(
      `select to_jsonb(d) as row from destinations d union all select to_jsonb(a) from audiences a`,
    );
    return rows.map(({ row }) => row);
  };
  const before = await stored();
  await apply(good, environment);
  expect(await stored()).toEqual(before);

  // Each of these changes one of them, and only that one.
  const changedBy = async (yaml: string, variables = environment) => {
    await apply(good, environment);
    const earlier = new Map((await stored()).map((row) => [row.name, row.updated_at]));
    await apply(yaml, variables);
    return (await stored()).filter(({ name, updated_at }) => earlier.get(name) !== updated_at).map(({ name }) => name);
  };
  expect(await changedBy(good, { ...environment, TOKEN: 'xoxb-new' })).toEqual(['chat']);
  expect(await changedBy(good.replace('C0123456789', 'C0000000000'))).toEqual(['chat']);
  expect(await changedBy(good.replace('kind: pagerduty,', 'kind: pagerduty, policy: { maxAttempts: 9 },'))).toEqual([
    'oncall',
  ]);
  expect(await changedBy(good.replace('[chat, oncall]', '[oncall]'))).toEqual(['p1']);
});

test('a declaration that aims kept secrets at another host is refused, and says what to do', async () => {
  const jira = (host: string, secrets: string) => `
destinations:
  tickets: { kind: jira, settings: { apiUrl: "http://${host}", projectKey: OPS, issueType: Task }${secrets} }
`;
  const secrets = ', secrets: { email: a@b.example, apiToken: token-1234 }';
  await apply(jira('127.0.0.1:9', secrets));
  await expect(apply(jira('127.0.0.1:8', ''))).rejects.toThrow(
    /\/destinations\/tickets\/settings\/apiUrl: leads to another host.*send the secrets with it/,
  );
  expect(await apply(jira('127.0.0.1:9', ''))).toMatchObject({ destinations: ['tickets'] });
  expect(await apply(jira('127.0.0.1:8', secrets))).toMatchObject({ destinations: ['tickets'] });
});

test('an empty file declares nothing', async () => {
  expect(await apply('')).toEqual({ destinations: [], audiences: [] });
  expect(await apply('destinations:\n')).toEqual({ destinations: [], audiences: [] });
});

test.each<[string, string, RegExp]>([
  ['a variable that is not set', good.replace('TOKEN', 'TOKEN_2'), /TOKEN_2 is not set/],
  [
    'a flaw in the fourth level',
    good.replace('channel', 'chanel'),
    /\/destinations\/chat\/settings\/channel: is required/,
  ],
  ['an unknown section', 'audience: {}', /\/audience: is not known/],
  ['a member that does not exist', 'audiences: { p2: { destinations: [ghost] } }', /ghost/],
  ['a file that is no YAML', 'a: [', /not valid YAML/],
])('%s is named, and nothing of the file is applied', async (_, yaml, complaint) => {
  const before = await here.count('destinations');
  const withMore = yaml.replace(
    'destinations:\n',
    'destinations:\n  more: { kind: webhook, settings: { url: "http://127.0.0.1:9" } }\n',
  );
  await expect(apply(withMore, environment)).rejects.toThrow(complaint);
  expect(await here.count('destinations')).toBe(before);
});

test('a file that is not there is named with the variable that names it', async () => {
  await expect(applyConfigFile(join(folder, 'none.yaml'), here.parts)).rejects.toThrow(/TOCSIN_CONFIG.*none\.yaml/);
});

test.each<[string, string, RegExp]>([
  [
    'a quote that is not closed',
    'destinations:\n  chat:\n    secrets: { token: "xoxb-IN-THE-FILE }\n',
    /line \d+, column \d+: missing/,
  ],
  ['a value that begins like an alias', 'destinations: { chat: { secrets: { token: *xoxb-IN-THE-FILE } } }', /alias/],
  ['a value that begins like a directive', 'token: %xoxb-IN-THE-FILE\n', /line 1, column 8/],
  ['a second key on the line', 'token: a: xoxb-IN-THE-FILE\n', /line 1, column/],
])('%s is told by its place, and the line, which may hold a secret, is not shown', async (_, yaml, complaint) => {
  const failure = await apply(yaml).catch((error: Error) => error);
  expect(String(failure)).toMatch(complaint);
  expect(String(failure)).not.toContain('xoxb');
});

test('a file that makes a destination one of another kind is refused while deliveries to it are open', async () => {
  await here.webhook('declared');
  const { body } = await here.ask('POST', '/broadcasts', { message: { title: 'Down' }, destinations: ['declared'] });
  const changed = `destinations: { declared: { kind: pagerduty, secrets: { routingKey: ${'R'.repeat(32)} } } }`;
  await expect(apply(changed, environment)).rejects.toThrow(/1 delivery to declared is open.*let them end, or cancel/);
  await here.ask('POST', `/broadcasts/${body.id}/cancel`);
  await apply(changed, environment);
});
