import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { startEmbeddedDatabase } from '../../src/ledger/embedded.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { until } from '../support/until.ts';

let top: TemporaryFolder;
let dataDir: string;
const others: Other[] = [];

beforeEach(async () => {
  top = await temporaryFolder('embedded');
  await chmod(top.path, 0o755);
  // A name that a shell would take apart.
  dataDir = join(top.path, `it's "my" $HOME data`);
});

afterEach(async () => {
  for (const other of others.splice(0)) other.process.kill('SIGKILL');
  const pid = await serverPid();
  if (alive(pid)) process.kill(pid, 'SIGQUIT');
  await until('the server to end', () => !alive(pid));
  await top.remove();
});

/** How many processes claim the server. */
const holders = "select count(*)::int from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and granted";

test('a first start gives an empty database, and a second one still has what was written', async () => {
  const first = await startEmbeddedDatabase(dataDir);
  expect(await ask(first.url, "select current_database() || ' ' || current_setting('server_encoding')")).toBe(
    'tocsin UTF8',
  );
  await ask(first.url, 'create table kept as select 42 as n');
  await first.stop();
  await expect(ask(first.url, 'select 1')).rejects.toThrow();

  const second = await startEmbeddedDatabase(dataDir);
  expect(await ask(second.url, 'select n from kept')).toBe(42);
  await second.stop();
});

test('what the service may do ends at its own databases, and what is acknowledged is on the disk', async () => {
  const database = await startEmbeddedDatabase(dataDir);
  const setting = (name: string) => ask(database.url, `select current_setting('${name}')`);
  expect(await ask(database.url, 'select rolsuper from pg_roles where rolname = current_user')).toBe(false);
  expect(await setting('fsync')).toBe('on');
  expect(await setting('synchronous_commit')).toBe('on');
  expect(await setting('listen_addresses')).toBe('127.0.0.1');
  expect(await setting('max_connections')).toBe('400');
  const wrong = new URL(database.url);
  wrong.password = 'guess';
  await expect(ask(wrong.href, 'select 1')).rejects.toThrow(/password authentication failed/);
  expect((await stat(join(dataDir, 'postgres', 'password'))).mode & 0o777).toBe(0o600);
  await database.stop();
});

test('a server that outlived its killed process is joined', async () => {
  const killed = await startOther();
  await ask(killed.url, 'create table kept ()');
  const pid = await serverPid();
  await kill(killed);
  expect(alive(pid)).toBe(true);
  await until('the server to miss the killed process', async () => (await ask(killed.url, holders)) === 0);

  const next = await startEmbeddedDatabase(dataDir);
  expect(next.url).toBe(killed.url);
  await ask(next.url, 'table kept');
  await next.stop();
  expect(alive(pid)).toBe(false);
});

test('a server that was killed too recovers, and keeps what it acknowledged', async () => {
  const killed = await startOther();
  await ask(killed.url, 'create table kept as select 42 as n');
  process.kill(await serverPid(), 'SIGKILL');
  await kill(killed);

  const next = await startEmbeddedDatabase(dataDir);
  expect(await ask(next.url, 'select n from kept')).toBe(42);
  await next.stop();
});

test("a dead server's pid that now belongs to another process of the same account is not taken for it", async () => {
  const killed = await startOther();
  const pid = await serverPid();
  const { uid, gid } = await stat(join(dataDir, 'postgres'));
  process.kill(pid, 'SIGKILL');
  await kill(killed);
  await until('the server to end', () => !alive(pid));
  const unrelated = spawn('sleep', ['600'], process.getuid?.() === 0 ? { uid, gid } : {});
  try {
    const file = join(dataDir, 'postgres', 'data', 'postmaster.pid');
    await writeFile(file, (await readFile(file, 'utf8')).replace(`${pid}`, `${unrelated.pid}`));
    const next = await startEmbeddedDatabase(dataDir);
    await ask(next.url, 'select 1');
    await next.stop();
    expect(unrelated.exitCode ?? unrelated.signalCode).toBeNull();
  } finally {
    unrelated.kill();
  }
});

test('processes that start at once on an empty folder share one server', async () => {
  const all = await Promise.all([startOther(), startOther(), startOther()]);
  for (const { url } of all) expect(await ask(url, 'select 1')).toBe(1);
  expect(new Set(all.map(({ url }) => url)).size).toBe(1);
  expect((await readdir(dataDir)).sort()).toEqual(['postgres', 'postgres.log']);
});

test('the server stays while anybody uses it, and ends with the last', async () => {
  const one = await startEmbeddedDatabase(dataDir);
  const other = await startOther();
  const pid = await serverPid();
  await one.stop();
  expect(await ask(other.url, 'select 1')).toBe(1);
  await leave(other);
  expect(alive(pid)).toBe(false);
});

test('of those who leave at once, one stops the server', async () => {
  const all = await Promise.all([1, 2, 3, 4].map(() => startEmbeddedDatabase(dataDir)));
  const pid = await serverPid();
  await Promise.all(all.map((database) => database.stop()));
  await until('the server to be gone', () => !alive(pid));
});

test('one who arrives while the last is leaving gets a server', async () => {
  let last = await startEmbeddedDatabase(dataDir);
  for (let i = 0; i < 5; i++) {
    const [next] = await Promise.all([startEmbeddedDatabase(dataDir), last.stop()]);
    expect(await ask(next.url, 'select 1')).toBe(1);
    last = next;
  }
  await last.stop();
});

test('a crash inside the server does not make others forget who uses it', async () => {
  const one = await startEmbeddedDatabase(dataDir);
  const other = await startEmbeddedDatabase(dataDir);
  const victim = new pg.Client({ connectionString: one.url });
  victim.on('error', () => {});
  await victim.connect();
  const { rows } = await victim.query('select pg_backend_pid() as pid');
  // Every session of the server ends with it; that of the two users as well.
  process.kill(rows[0].pid, 'SIGKILL');
  await until('both to claim the server again', async () => (await ask(one.url, holders)) === 2);
  await one.stop();
  expect(await ask(other.url, 'select 1')).toBe(1);
  await other.stop();
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

test('a kill in the middle of the first start leaves nothing half made', async () => {
  const child = launch();
  const draft = () => readdir(dataDir).then((names) => names.find((name) => name.startsWith('postgres.new-')));
  const name = await until('the draft', draft);
  await until('initdb to be at work', () => readdir(join(dataDir, name, 'data', 'base')));
  child.kill('SIGKILL');
  const database = await startEmbeddedDatabase(dataDir);
  expect(await ask(database.url, 'select 1')).toBe(1);
  await database.stop();
});

test('a server that cannot start says why', async () => {
  const database = await startEmbeddedDatabase(dataDir);
  await database.stop();
  await writeFile(join(dataDir, 'postgres', 'data', 'postgresql.conf'), 'max_connections = many\n');
  await expect(startEmbeddedDatabase(dataDir)).rejects.toThrow(/invalid value for parameter "max_connections"/);
});

const root = process.getuid?.() === 0;
if (!root) console.warn('SKIPPED: not root, so running PostgreSQL under another account was not tested.');

describe.skipIf(!root)('as root', () => {
  test('the server runs under an account of its own, also below a folder that only root may enter', async () => {
    await mkdir(dataDir);
    await chmod(top.path, 0o700);
    const database = await startEmbeddedDatabase(dataDir);
    expect(await ask(database.url, 'select 1')).toBe(1);
    const { uid } = await stat(`/proc/${await serverPid()}`);
    expect(uid).not.toBe(0);
    await database.stop();
    const again = await startEmbeddedDatabase(dataDir);
    await again.stop();
  });
});

interface Other {
  process: ChildProcess;
  url: string;
  said: string[];
}

/** Another process that uses the database: it leaves in order when told so, and survives Ctrl-C until then. */
const program = `
const { startEmbeddedDatabase } = await import(process.argv[1]);
process.on('SIGINT', () => console.log('SIGINT'));
const database = await startEmbeddedDatabase(process.argv[2]);
console.log(database.url);
process.stdin.once('data', () => database.stop().then(() => process.exit())).once('end', () => process.exit());
`;

function launch(options: { detached?: boolean } = {}): ChildProcess {
  const source = new URL('../../src/ledger/embedded.ts', import.meta.url).href;
  const args = ['--input-type=module', '-e', program, source, dataDir];
  return spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'], ...options });
}

async function startOther(options: { detached?: boolean } = {}): Promise<Other> {
  const other: Other = { process: launch(options), url: '', said: [] };
  others.push(other);
  createInterface(other.process.stdout as NodeJS.ReadableStream).on('line', (line) => other.said.push(line));
  other.url = await until('the other process to be ready', () => {
    if (other.process.exitCode !== null) throw new Error(`it ended with ${other.process.exitCode}`);
    return other.said.find((line) => line.startsWith('postgres://'));
  });
  return other;
}

async function leave(other: Other): Promise<void> {
  const exited = once(other.process, 'exit');
  other.process.stdin?.write('leave\n');
  await exited;
}

async function kill(other: Other): Promise<void> {
  const exited = once(other.process, 'exit');
  other.process.kill('SIGKILL');
  await exited;
}

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query<unknown[]>({ text: sql, rowMode: 'array' });
    return rows[0]?.[0];
  } finally {
    await client.end();
  }
}

async function serverPid(): Promise<number> {
  const file = await readFile(join(dataDir, 'postgres', 'data', 'postmaster.pid'), 'utf8').catch(() => '');
  return Number(file.split('\n')[0]);
}

/** Whether it still runs: a process that ended and was not yet buried by its parent does not. */
function alive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ');
  } catch {
    return false;
  }
}
