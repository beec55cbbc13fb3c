import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterEach, beforeEach } from 'vitest';
import { alive } from '../support/alive.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { until } from '../support/until.ts';

/** Another process that uses the embedded database. */
export interface Other {
  process: ChildProcess;
  url: string;
  said: string[];
}

let top: TemporaryFolder;
let folder = '';
const others: Other[] = [];

/** A folder of its own for each test of a file; whatever still runs in it afterwards is ended. */
export function useFolder(): void {
  beforeEach(async () => {
    top = await temporaryFolder('embedded');
    await chmod(top.path, 0o755);
    // A name that a shell would take apart.
    folder = join(top.path, `it's "my" $HOME data`);
  });
  afterEach(async () => {
    for (const other of others.splice(0)) other.process.kill('SIGKILL');
    const pid = await serverPid();
    if (alive(pid)) process.kill(pid, 'SIGQUIT');
    await until('the server to end', () => !alive(pid));
    await top.remove();
  });
}

/** What TOCSIN_DATA would be. It does not exist yet. */
export function dataDir(): string {
  return folder;
}

/** The folder that the data folder is in. */
export function topDir(): string {
  return top.path;
}

/** Leaves in order when it is told so, and survives Ctrl-C until then. */
const program = `
const { startEmbeddedDatabase } = await import(process.argv[1]);
process.on('SIGINT', () => console.log('SIGINT'));
const database = await startEmbeddedDatabase(process.argv[2]);
console.log(database.url);
process.stdin.once('data', () => database.stop().then(() => process.exit())).once('end', () => process.exit());
`;

export function launch(options: { detached?: boolean } = {}): ChildProcess {
  const source = new URL('../../src/ledger/embedded.ts', import.meta.url).href;
  const args = ['--input-type=module', '-e', program, source, folder];
  return spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'], ...options });
}

export async function startOther(options: { detached?: boolean } = {}): Promise<Other> {
  const other: Other = { process: launch(options), url: '', said: [] };
  others.push(other);
  createInterface(other.process.stdout as NodeJS.ReadableStream).on('line', (line) => other.said.push(line));
  other.url = await until('the other process to be ready', () => {
    if (other.process.exitCode !== null) throw new Error(`it ended with ${other.process.exitCode}`);
    return other.said.find((line) => line.startsWith('postgres://'));
  });
  return other;
}

export async function leave(other: Other): Promise<void> {
  const exited = once(other.process, 'exit');
  other.process.stdin?.write('leave\n');
  await exited;
}

export async function kill(other: Other): Promise<void> {
  const exited = once(other.process, 'exit');
  other.process.kill('SIGKILL');
  await exited;
}

export async function ask(url: string, sql: string): Promise<unknown> {
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

/** The sessions by which processes claim the server. */
export async function holders(url: string): Promise<number[]> {
  const claims = "select json_agg(pid) from pg_locks where locktype = 'advisory' and mode = 'ShareLock' and granted";
  return ((await ask(url, claims)) ?? []) as number[];
}

export async function serverPid(): Promise<number> {
  const file = await readFile(join(folder, 'postgres', 'data', 'postmaster.pid'), 'utf8').catch(() => '');
  return Number(file.split('\n')[0]);
}
