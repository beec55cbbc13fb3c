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

test('an empty file declares nothing', async () => {
  expect(await apply('')).toEqual({ destinations: [], audiences: [] });
  expect(await apply('destinations:\n')).toEqual({ destinations: [], audiences: [] });
});

test.each<[string, string, RegExp]>([
  ['a variable that is not set', good.replace('TOKEN', 'TOKEN_2'), /TOKEN_2 is not set/],
  [
    'a flaw in the fourth level',
    good.replace('channel', 'chanel'),
    /\/destinations\/chat\/settings\/channel is required/,
  ],
  ['an unknown section', 'audience: {}', /\/audience is not known/],
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
