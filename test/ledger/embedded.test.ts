import { spawn } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startEmbeddedDatabase } from '../../src/ledger/embedded.ts';
import { alive } from '../support/alive.ts';
import { until } from '../support/until.ts';
import { ask, dataDir, kill, launch, serverPid, startOther, topDir, useFolder } from './server.ts';

useFolder();

test('a first start gives an empty database, and a second one still has what was written', async () => {
  const first = await startEmbeddedDatabase(dataDir());
  expect(await ask(first.url, "select current_database() || ' ' || current_setting('server_encoding')")).toBe(
    'tocsin UTF8',
  );
  await ask(first.url, 'create table kept as select 42 as n');
  await first.stop();
  await expect(ask(first.url, 'select 1')).rejects.toThrow();

  const second = await startEmbeddedDatabase(dataDir());
  expect(await ask(second.url, 'select n from kept')).toBe(42);
  await second.stop();
});

test('what the service may do ends at its own databases, and what is acknowledged is on the disk', async () => {
  const database = await startEmbeddedDatabase(dataDir());
  const setting = (name: string) => ask(database.url, `select current_setting('${name}')`);
  expect(await ask(database.url, 'select rolsuper from pg_roles where rolname = current_user')).toBe(false);
  expect(await setting('fsync')).toBe('on');
  expect(await setting('synchronous_commit')).toBe('on');
  expect(await setting('max_connections')).toBe('400');
  const wrong = new URL(database.url);
  wrong.password = 'guess';
  await expect(ask(wrong.href, 'select 1')).rejects.toThrow(/password authentication failed/);
  await database.stop();
});

test('no other program can take the place of the server: it listens on no network, and its socket lies in a closed folder', async () => {
  const database = await startEmbeddedDatabase(dataDir());
  expect(await ask(database.url, "select current_setting('listen_addresses')")).toBe('');
  const home = join(dataDir(), 'postgres');
  expect(decodeURIComponent(new URL(database.url).hostname)).toBe(home);
  expect(await readdir(home)).toContain('.s.PGSQL.5432');
  expect((await stat(home)).mode & 0o777).toBe(0o700);
  await database.stop();
});

test('the service does not know the password of the superuser', async () => {
  const database = await startEmbeddedDatabase(dataDir());
  const path = join(dataDir(), 'postgres', 'password');
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  const password = (await readFile(path, 'utf8')).trim();
  expect(database.url).not.toContain(password);
  const superuser = new URL(database.url);
  superuser.username = 'postgres';
  await expect(ask(superuser.href, 'select 1')).rejects.toThrow(/password authentication failed/);
  await database.stop();
});

describe('in a folder whose path is too long for a socket', () => {
  const long = () => join(dataDir(), 'd'.repeat(120));
  const socketOf = (url: string) => decodeURIComponent(new URL(url).hostname);

  test('the socket lies in a closed folder elsewhere, which all processes find', async () => {
    const one = await startEmbeddedDatabase(long());
    const folder = socketOf(one.url);
    try {
      const other = await startEmbeddedDatabase(long());
      expect(other.url).toBe(one.url);
      expect(await ask(one.url, 'select 1')).toBe(1);
      expect((await stat(folder)).mode & 0o777).toBe(0o700);
      await Promise.all([one.stop(), other.stop()]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('a folder of that name that others may enter is refused', async () => {
    const first = await startEmbeddedDatabase(long());
    await first.stop();
    await chmod(socketOf(first.url), 0o777);
    try {
      await expect(startEmbeddedDatabase(long())).rejects.toThrow(
        /its own path is too long.*remove it, or set TOCSIN_DATA/,
      );
    } finally {
      await rm(socketOf(first.url), { recursive: true });
    }
  });
});

test('a server that outlived its killed process is joined', async () => {
  const killed = await startOther();
  await ask(killed.url, 'create table kept ()');
  const pid = await serverPid();
  await kill(killed);
  expect(alive(pid)).toBe(true);

  const next = await startEmbeddedDatabase(dataDir());
  expect(next.url).toBe(killed.url);
  await ask(next.url, 'table kept');
  expect(await serverPid()).toBe(pid);
  await next.stop();
});

test('a server that was killed too recovers, and keeps what it acknowledged', async () => {
  const killed = await startOther();
  await ask(killed.url, 'create table kept as select 42 as n');
  // Its process first, which would start it again.
  await kill(killed);
  process.kill(await serverPid(), 'SIGKILL');

  const next = await startEmbeddedDatabase(dataDir());
  expect(await ask(next.url, 'select n from kept')).toBe(42);
  await next.stop();
});

test("a dead server's pid that now belongs to another process of the same account is not taken for it", async () => {
  const killed = await startOther();
  const pid = await serverPid();
  const { uid, gid } = await stat(join(dataDir(), 'postgres'));
  await kill(killed);
  process.kill(pid, 'SIGKILL');
  await until('the server to end', () => !alive(pid));
  const unrelated = spawn('sleep', ['600'], process.getuid?.() === 0 ? { uid, gid } : {});
  try {
    for (const file of [['data', 'postmaster.pid'], ['.s.PGSQL.5432.lock']]) {
      const path = join(dataDir(), 'postgres', ...file);
      await writeFile(path, (await readFile(path, 'utf8')).replace(`${pid}`, `${unrelated.pid}`));
    }
    const next = await startEmbeddedDatabase(dataDir());
    await ask(next.url, 'select 1');
    await next.stop();
    expect(unrelated.exitCode ?? unrelated.signalCode).toBeNull();
  } finally {
    unrelated.kill();
  }
});

test('a kill in the middle of the first start leaves nothing half made', async () => {
  const child = launch();
  const draft = () => readdir(dataDir()).then((names) => names.find((name) => name.startsWith('postgres.new-')));
  const name = await until('the draft', draft);
  await until('initdb to be at work', () => readdir(join(dataDir(), name, 'data', 'base')));
  child.kill('SIGKILL');
  const database = await startEmbeddedDatabase(dataDir());
  expect(await ask(database.url, 'select 1')).toBe(1);
  await database.stop();
});

test('a server that cannot start says why', async () => {
  const database = await startEmbeddedDatabase(dataDir());
  await database.stop();
  await writeFile(join(dataDir(), 'postgres', 'data', 'postgresql.conf'), 'max_connections = many\n');
  await expect(startEmbeddedDatabase(dataDir())).rejects.toThrow(/invalid value for parameter "max_connections"/);
});

const root = process.getuid?.() === 0;
if (!root) console.warn('SKIPPED: not root, so running PostgreSQL under another account was not tested.');

describe.skipIf(!root)('as root', () => {
  test('the server runs under an account of its own, also below a folder that only root may enter', async () => {
    await mkdir(dataDir());
    await chmod(topDir(), 0o700);
    const database = await startEmbeddedDatabase(dataDir());
    expect(await ask(database.url, 'select 1')).toBe(1);
    const { uid } = await stat(`/proc/${await serverPid()}`);
    expect(uid).not.toBe(0);
    await database.stop();
    const again = await startEmbeddedDatabase(dataDir());
    await again.stop();
  });
});
