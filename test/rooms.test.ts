import { globSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const repository = fileURLToPath(new URL('..', import.meta.url));

interface Source {
  /** From the repository's root, with forward slashes. */
  path: string;
  text: string;
}

interface Import {
  path: string;
  line: number;
  /** A path of ours from the repository's root, or the name of a package. */
  target: string;
}

interface Rule {
  says: string;
  /** Where the rule is broken: "file:line what". */
  broken(sources: readonly Source[]): string[];
  /** Sources that break it, each at its second line, to show that it can be broken. */
  examples: readonly Source[];
}

const strings = /'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/;
const stringsAndComments = new RegExp(`${strings.source}|/\\*[\\s\\S]*?\\*/|//[^\\n]*`, 'g');

/** The text with its comments blanked out, so that positions stay. */
function withoutComments(text: string): string {
  return text.replace(stringsAndComments, (found) => (found.startsWith('/') ? found.replace(/[^\n]/g, ' ') : found));
}

function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

const imports = /\bfrom\s*(['"])(?<from>[^'"\n]+)\1|\bimport\s*\(?\s*(['"])(?<bare>[^'"\n]+)\3/g;

function importsOf({ path, text }: Source): Import[] {
  const code = withoutComments(text);
  return [...code.matchAll(imports)].map((match) => {
    const name = match.groups?.from ?? match.groups?.bare ?? '';
    const target = name.startsWith('.') ? posix.join(posix.dirname(path), name) : packageOf(name);
    return { path, line: lineAt(code, match.index), target };
  });
}

function packageOf(name: string): string {
  const [scope = '', second] = name.split('/');
  return scope.startsWith('@') && second ? `${scope}/${second}` : scope;
}

/** A rule about who may import what: `forbids` says which imports break it. */
function importRule(says: string, forbids: (it: Import) => boolean, examples: readonly Source[]): Rule {
  return {
    says,
    examples,
    broken: (sources) =>
      sources
        .flatMap(importsOf)
        .filter(forbids)
        .map(({ path, line, target }) => `${path}:${line} imports ${target}`),
  };
}

/** A rule about what may stand in the text, outside of comments. */
function textRule(
  says: string,
  what: string,
  {
    pattern,
    within,
    exempt,
  }: { pattern: RegExp; within: 'code' | 'strings'; exempt(source: Source, found: string): boolean },
  examples: readonly Source[],
): Rule {
  return {
    says,
    examples,
    broken: (sources) =>
      sources.flatMap((source) => {
        const code = withoutComments(source.text);
        const parts = within === 'code' ? [...code.matchAll(/[\s\S]+/g)] : [...code.matchAll(new RegExp(strings, 'g'))];
        return parts.flatMap((part) =>
          [...part[0].matchAll(pattern)]
            .filter(([found]) => !exempt(source, found))
            .map(({ index }) => `${source.path}:${lineAt(code, part.index + index)} ${what}`),
        );
      }),
  };
}

const within = (path: string, ...places: string[]) =>
  places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place));
const ours = (path: string) => within(path, 'src/', 'workers/', 'start.ts');
const isOurs = (target: string) => within(target, 'src/', 'workers/', 'sandbox/', 'scripts/', 'test/', 'start.ts');
const importing = (path: string, name: string): Source => ({ path, text: `\nimport it from '${name}';` });

/** Folders of `destinations` that are no kind, but shared by kinds. */
const shared = ['markdown'];
const kindOf = (path: string) => {
  const kind = /^src\/destinations\/([^/]+)\//.exec(path)?.[1];
  return kind && !shared.includes(kind) ? kind : null;
};

/** Clients that reach services outside: who imports one of them opens sockets to the world. */
const worldly = ['undici', '@slack/web-api', 'nodemailer', 'jira.js', '@microsoft/microsoft-graph-client'];

const rules: Rule[] = [
  importRule(
    'delivery is pure: it imports nothing but itself',
    ({ path, target }) => within(path, 'src/delivery/') && !within(target, 'src/delivery/'),
    [importing('src/delivery/next.ts', '../ids.ts'), importing('src/delivery/next.ts', 'node:crypto')],
  ),
  importRule(
    'the ledger imports the state machine and plain words, never those who use it',
    ({ path, target }) =>
      within(path, 'src/ledger/') &&
      isOurs(target) &&
      !within(
        target,
        'src/ledger/',
        'src/delivery/',
        'src/message.ts',
        'src/policy.ts',
        'src/ids.ts',
        'src/secrets.ts',
        'src/session-limits.ts',
        'src/start-error.ts',
      ),
    [
      importing('src/ledger/claim.ts', '../destinations/registry.ts'),
      importing('src/ledger/claim.ts', '../queue/backend.ts'),
    ],
  ),
  importRule(
    'destinations know no broadcast, no queue and no API: they never import ledger, api, queue or workers',
    ({ path, target }) =>
      within(path, 'src/destinations/') &&
      within(target, 'src/ledger/', 'src/api/', 'src/queue/', 'workers/', 'sandbox/'),
    [importing('src/destinations/wire.ts', '../ledger/claim.ts')],
  ),
  importRule(
    'no kind imports another',
    ({ path, target }) => {
      const [from, to] = [kindOf(path), kindOf(target)];
      return from !== null && to !== null && from !== to;
    },
    [importing('src/destinations/slack/index.ts', '../teams/render.ts')],
  ),
  importRule(
    'the queue is for the workers, and for those who start a process',
    ({ path, target }) =>
      ours(path) &&
      within(target, 'src/queue/') &&
      !within(path, 'src/queue/', 'workers/', 'start.ts', 'src/server.ts'),
    [importing('src/api/app.ts', '../queue/backend.ts')],
  ),
  importRule(
    'src never imports the workers',
    ({ path, target }) => within(path, 'src/') && within(target, 'workers/'),
    [importing('src/server.ts', '../workers/index.ts')],
  ),
  importRule(
    'the sandbox plays the other side: it imports nothing of the service',
    ({ path, target }) => within(path, 'sandbox/') && within(target, 'src/', 'workers/', 'start.ts'),
    [importing('sandbox/slack/index.ts', '../../src/message.ts')],
  ),
  importRule(
    'the service never imports the sandbox, the tests or the scripts',
    ({ path, target }) => ours(path) && within(target, 'sandbox/', 'test/', 'scripts/'),
    [importing('start.ts', './sandbox/index.ts')],
  ),
  importRule(
    'only the queue and the workers know BullMQ',
    ({ path, target }) =>
      ours(path) && ['bullmq', 'ioredis'].includes(target) && !within(path, 'src/queue/', 'workers/'),
    [importing('src/api/app.ts', 'bullmq'), importing('src/ledger/claim.ts', 'ioredis')],
  ),
  importRule(
    'only destinations open sockets to the world',
    ({ path, target }) => ours(path) && worldly.includes(target) && !within(path, 'src/destinations/'),
    [importing('workers/deliver.ts', 'undici'), importing('src/api/app.ts', '@slack/web-api/dist/types')],
  ),
  textRule(
    'only destinations open sockets to the world, not even with what Node itself has',
    'calls fetch',
    {
      pattern: /(?<![.\w])fetch\(/g,
      within: 'code',
      exempt: ({ path }) => !ours(path) || within(path, 'src/destinations/'),
    },
    [{ path: 'src/api/app.ts', text: `\nawait fetch('https://example.com');` }],
  ),
  textRule(
    'only the ledger holds SQL',
    'holds SQL',
    {
      pattern:
        /\b(?:select\s[\s\S]+?\sfrom\s|insert\s+into\s|update\s+\w+(?:\s+\w+)?\s+set\s|delete\s+from\s|select\s+1\b)/g,
      within: 'strings',
      // BullMQ brings its own tables to PostgreSQL, and its own migrations.
      exempt: ({ path }) => !ours(path) || within(path, 'src/ledger/', 'src/queue/'),
    },
    [
      { path: 'src/api/app.ts', text: "\nawait db.query('select id from broadcasts');" },
      { path: 'workers/sweep.ts', text: '\nawait db.query(`update deliveries d set x = 1`);' },
      { path: 'workers/sweep.ts', text: "\nawait db.query('delete from deliveries');" },
      { path: 'src/open.ts', text: "\nawait db.query('insert into deliveries values (1)');" },
    ],
  ),
  textRule(
    'only the configuration reads the environment; who starts a process hands it over whole',
    'reads the environment',
    {
      pattern: /(?:\bloadConfig\()?\bprocess\.env\b/g,
      within: 'code',
      exempt: ({ path }, found) =>
        !ours(path) ||
        found.startsWith('loadConfig(') ||
        // The programs that it starts need their PATH like any others.
        within(path, 'src/config.ts', 'src/ledger/embedded/cluster.ts'),
    },
    [{ path: 'src/api/app.ts', text: '\nconst host = process.env.HOST;' }],
  ),
];

const sources: Source[] = globSync(['*.ts', '{src,workers,sandbox,scripts}/**/*.ts'], { cwd: repository })
  .map((path) => path.replaceAll('\\', '/'))
  .map((path) => ({ path, text: readFileSync(posix.join(repository, path), 'utf8') }));

describe.each(rules)('$says', ({ says, broken, examples }) => {
  test('holds everywhere', () => {
    const places = broken(sources);
    expect(places, `The rule "${says}" is broken:\n  ${places.join('\n  ')}\n`).toEqual([]);
  });

  test('would be found broken, with the file and the line', () => {
    for (const example of examples) expect(broken([example])).toEqual([expect.stringContaining(`${example.path}:2 `)]);
  });
});

test('the rules look at everything there is', () => {
  const rooms = new Set(sources.map(({ path }) => path.split('/').slice(0, -1).join('/')));
  for (const room of [
    '',
    'src',
    'src/api',
    'src/delivery',
    'src/ledger',
    'src/queue',
    'src/destinations/slack',
    'workers',
    'sandbox',
  ]) {
    expect([...rooms]).toContain(room);
  }
  expect(sources.flatMap(importsOf).length).toBeGreaterThan(sources.length);
});

test('an import is seen in every form it can have, and not in a comment', () => {
  const text = `
import one from './one.ts';
import {
  type Two,
} from "./two.ts";
import './three.ts';
export * from './four.ts';
const five = await import('./five.ts');
import type { Six } from '@scope/six/deep';
// import no from './no.ts';
/* import no from './no.ts'; */ const url = 'https://example.com'; import seven from 'seven';`;
  expect(importsOf({ path: 'src/it.ts', text }).map(({ line, target }) => `${line} ${target}`)).toEqual([
    '2 src/one.ts',
    '5 src/two.ts',
    '6 src/three.ts',
    '7 src/four.ts',
    '8 src/five.ts',
    '9 @scope/six',
    '11 seven',
  ]);
});
