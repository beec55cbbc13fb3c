import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { expect, test } from 'vitest';
import { startEmbeddedDatabase } from '../../src/ledger/embedded.ts';
import type { StartError } from '../../src/start-error.ts';
import { alive } from '../support/alive.ts';
import { until } from '../support/until.ts';
import { ask, dataDir, holders, leave, serverPid, startOther, useFolder } from './server.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

useFolder();

test('processes that start at once on an empty folder share one server', async () => {
  const all = await Promise.all([startOther(), startOther(), startOther()]);
  for (const { url } of all) expect(await ask(url, 'select 1')).toBe(1);
  expect(new Set(all.map(({ url }) => url)).size).toBe(1);
  expect((await holders(all[0].url)).length).toBe(3);
  expect((await readdir(dataDir())).sort()).toEqual(['postgres', 'postgres.log']);
});

test('the server stays while anybody uses it, and ends with the last', async () => {
  const one = await startEmbeddedDatabase(dataDir());
  const other = await startOther();
  const pid = await serverPid();
  await one.stop();
  expect(await ask(other.url, 'select 1')).toBe(1);
  await leave(other);
  expect(alive(pid)).toBe(false);
});

test('of those who leave at once, one stops the server', async () => {
  const all = await Promise.all([1, 2, 3, 4].map(() => startEmbeddedDatabase(dataDir())));
  const pid = await serverPid();
  await Promise.all(all.map((database) => database.stop()));
  expect(alive(pid)).toBe(false);
});

test('one who arrives while the last is leaving gets a server', async () => {
  let last = await startEmbeddedDatabase(dataDir());
  for (let i = 0; i < 5; i++) {
    const [next] = await Promise.all([startEmbeddedDatabase(dataDir()), last.stop()]);
    expect(await ask(next.url, 'select 1')).toBe(1);
    last = next;
  }
  await last.stop();
});

test('a crash inside the server does not make others forget who uses it', async () => {
  const one = await startEmbeddedDatabase(dataDir());
  const other = await startEmbeddedDatabase(dataDir());
  const before = await holders(one.url);
  const victim = new pg.Client({ connectionString: one.url });
  victim.on('error', () => {});
  await victim.connect();
  const { rows } = await victim.query('select pg_backend_pid() as pid');
  // Every session of the server ends with it; that of the two users as well.
  process.kill(rows[0].pid, 'SIGKILL');
  // The server notices a moment later; until then the old claims are still seen.
  await until('both to claim the server again', async () => {
    const now = await holders(one.url);
    return now.length === 2 && now.every((pid) => !before.includes(pid));
  });
  await one.stop();
  expect(await ask(other.url, 'select 1')).toBe(1);
  await other.stop();
});

test('a server that is killed under those who use it is started again at the same address, and stops with the last', async () => {
  const one = await startEmbeddedDatabase(dataDir());
  const other = await startOther();
  await ask(one.url, 'create table kept as select 42 as n');
  const pid = await serverPid();
  process.kill(pid, 'SIGKILL');
  await until('both to claim the new server', async () => (await holders(one.url)).length === 2);
  expect(await ask(other.url, 'select n from kept')).toBe(42);
  const next = await serverPid();
  expect(next).not.toBe(pid);
  await leave(other);
  expect(await ask(one.url, 'select 1')).toBe(1);
  await one.stop();
  expect(alive(next)).toBe(false);
});

test('who leaves just after the server was killed leaves none behind', async () => {
  const database = await startEmbeddedDatabase(dataDir());
  const pid = await serverPid();
  process.kill(pid, 'SIGKILL');
  await until('the server to end', () => !alive(pid));
  await database.stop();
  expect(alive(await serverPid())).toBe(false);
  await expect(ask(database.url, 'select 1')).rejects.toThrow();
});

test('a server that cannot be brought back is told to its process, in one line with the reason', async () => {
  const { promise: dead, resolve: onDead } = Promise.withResolvers<StartError>();
  const database = await startEmbeddedDatabase(dataDir(), undefined, { onDead, patienceMs: 3_000 });
  await writeFile(join(dataDir(), 'postgres', 'data', 'postgresql.conf'), 'max_connections = many\n');
  process.kill(await serverPid(), 'SIGKILL');
  expect((await dead).message).toMatch(
    /^The embedded PostgreSQL ended and could not be brought back\..*max_connections.*$/,
  );
  await database.stop();
});

test('a service whose embedded server is killed works on by itself, and ends in order', async () => {
  const key = 'k'.repeat(32);
  let said = '';
  const child = spawn(process.execPath, ['start.ts'], {
    cwd: repository,
    env: { PATH: process.env.PATH, TOCSIN_DATA: dataDir(), PORT: '0', TOCSIN_API_KEY: key },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  child.stdout.on('data', (text) => (said += text));
  const exited = once(child, 'exit');
  try {
    const url = await until('the service to listen', () => /"url":"(http[^"]+)"/.exec(said)?.[1]);
    const ask = async (path: string, options: RequestInit = {}) => {
      const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' };
      const answer = await fetch(`${url}${path}`, { ...options, headers });
      return answer.status;
    };
    const put = () => ask('/audiences/all', { method: 'PUT', body: '{"destinations":[]}' });
    await until('the service to be ready', async () => (await ask('/readyz')) === 200);
    const before = await put();
    const pid = await serverPid();
    process.kill(pid, 'SIGKILL');
    await until('another server', async () => ![0, pid].includes(await serverPid()));
    await until('the service to be ready again', async () => (await ask('/readyz')) === 200);
    await until('it to be written to', async () => (await put()) === before);
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
    expect(await serverPid()).toBe(0);
  } finally {
    child.kill('SIGKILL');
  }
});

test('Ctrl-C in the terminal reaches the service and not the server', async () => {
  const other = await startOther({ detached: true });
  const pid = await serverPid();
  process.kill(-(other.process.pid as number), 'SIGINT');
  await until('the service to have heard it', () => other.said.includes('SIGINT'));
  expect(await ask(other.url, 'select 1')).toBe(1);
  await leave(other);
  expect(alive(pid)).toBe(false);
});

/** What is there at some moments of a start, in their order. */
const moments: [string, () => Promise<unknown>][] = [
  ['the data is being made', async () => (await readdir(dataDir())).some((name) => name.startsWith('postgres.new-'))],
  ['the server is launched', async () => existsSync(join(dataDir(), 'postgres.log'))],
  ['the server runs', async () => (await serverPid()) > 0],
  ['the server is claimed', async () => (await readFile(join(dataDir(), 'secret.key'))).length > 0],
];

test.each(moments)(
  'a process that is told to end while %s ends in order and leaves no server behind',
  async (_, reached) => {
    const child = spawn(process.execPath, ['src/server.ts'], {
      cwd: repository,
      env: { PATH: process.env.PATH, TOCSIN_DATA: dataDir(), PORT: '0', TOCSIN_API_KEY: 'k'.repeat(32) },
      stdio: 'ignore',
    });
    const exited = once(child, 'exit');
    try {
      await until('that moment', reached, { everyMs: 1 });
      child.kill('SIGTERM');
      expect(await exited).toEqual([0, null]);
      expect(await serverPid()).toBe(0);
      expect((await readdir(dataDir())).filter((name) => name.startsWith('postgres.new-'))).toEqual([]);
    } finally {
      child.kill('SIGKILL');
    }
  },
);
