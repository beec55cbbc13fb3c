import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { access, link, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { StartError } from '../../start-error.ts';
import type { Account } from './account.ts';

const exec = promisify(execFile);

/** The account that PostgreSQL was created with; the service itself gets a lesser one. */
export const SUPERUSER = 'postgres';

/** PostgreSQL outlives us and runs under another name: it gets none of our environment, where the secrets are. */
export const ENVIRONMENT = Object.fromEntries(
  ['PATH', 'LD_LIBRARY_PATH', 'TMPDIR'].flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
) as NodeJS.ProcessEnv;

export interface Cluster {
  /** PGDATA. */
  data: string;
  password: string;
}

/** Opens the cluster in `home`, or gives undefined where there is none yet. */
export async function openCluster(home: string): Promise<Cluster | undefined> {
  const data = join(home, 'data');
  try {
    await access(join(data, 'PG_VERSION'));
    return { data, password: (await readFile(join(home, 'password'), 'utf8')).trim() };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code !== 'EACCES') throw error;
    throw new StartError(
      `The embedded PostgreSQL in ${home} belongs to another user: run as that user, set TOCSIN_DATA to a folder of ` +
        'your own, or set DATABASE_URL.',
      { cause: error },
    );
  }
}

/**
 * Makes the cluster beside its place and moves it there as the last step, data and password in one rename: a kill at any
 * moment leaves either nothing or all of it. Of two that race, one moves first and the other throws its own away.
 */
export async function createCluster(home: string, initdb: string, account: Account, durable: boolean): Promise<void> {
  const draft = await mkdtemp(`${home}.new-`);
  try {
    await account.own(draft);
    const passwordFile = join(draft, 'password');
    await writeFile(passwordFile, randomBytes(24).toString('hex'), { mode: 0o600, flush: durable });
    await account.own(passwordFile);
    const { file, args, options } = account.command(initdb, [
      `--pgdata=${join(draft, 'data')}`,
      `--username=${SUPERUSER}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      ...(durable ? [] : ['--no-sync']),
    ]);
    await exec(file, args, { ...options, env: { ...ENVIRONMENT, LC_ALL: 'C' }, cwd: '/' });
    await rename(draft, home);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (!(await openCluster(home))) throw error;
  }
}

/** Removes what a kill during `createCluster` left behind; ten minutes is far longer than a live one ever takes. */
export async function removeDrafts(home: string): Promise<void> {
  await mkdir(dirname(home), { recursive: true });
  for (const name of await readdir(dirname(home))) {
    if (!name.startsWith(`${basename(home)}.new-`)) continue;
    const draft = join(dirname(home), name);
    const found = await stat(draft).catch(() => undefined);
    if (found && Date.now() - found.mtimeMs > 600_000) await rm(draft, { recursive: true, force: true });
  }
}

export interface RunningServer {
  pid: number;
  port: number;
  /** Empty while the server has not opened its socket yet. */
  socketFolder: string;
  isReady: boolean;
}

/** The server that runs on this data, as it says itself; undefined where none runs. */
export async function runningServer(data: string): Promise<RunningServer | undefined> {
  // https://www.postgresql.org/docs/current/storage-file-layout.html: pid, data, start time, port, socket, address, memory, status
  const lines = (await readPidFile(data)).split('\n');
  const [pid, port] = [Number(lines[0]), Number(lines[3])];
  if (!(pid > 0 && port > 0 && (await serves(pid, data)))) return undefined;
  return { pid, port, socketFolder: lines[4] ?? '', isReady: lines[7]?.trim() === 'ready' };
}

/**
 * PostgreSQL replaces the lock files of a dead server by itself, but not when that pid meanwhile belongs to another process
 * of the same user, which is common in containers, where pids start small each time. Call only when no server runs.
 */
export async function discardStaleLocks(data: string, socket: string): Promise<void> {
  await discardStale(join(data, 'postmaster.pid'), data);
  await discardStale(`${socket}.lock`, data);
}

async function discardStale(file: string, data: string): Promise<void> {
  const seen = await readFile(file, 'utf8').catch(() => '');
  const pid = Number(seen.split('\n')[0]);
  if (!(pid > 0) || (await serves(pid, data))) return;
  // Moved, read again, then removed: another starter may have written a live file after we looked. PostgreSQL looks after
  // its file once a minute and tolerates the moment; and a third starter is stopped by the shared memory of the second.
  const aside = `${file}.${randomBytes(4).toString('hex')}`;
  await rename(file, aside).catch(() => {});
  const moved = await readFile(aside, 'utf8').catch(() => '');
  if (moved.split('\n')[0] !== seen.split('\n')[0]) await link(aside, file).catch(() => {});
  await rm(aside, { force: true });
}

async function readPidFile(data: string): Promise<string> {
  return readFile(join(data, 'postmaster.pid'), 'utf8').catch(() => '');
}

/** Whether `pid` is the PostgreSQL of this very data: a pid alone proves nothing, it may have been given to another. */
export async function serves(pid: number, data: string): Promise<boolean> {
  if (process.platform === 'linux') {
    return isServerOf(data, await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''));
  }
  const command = await exec('ps', ['-p', `${pid}`, '-o', 'args=']).catch(() => ({ stdout: '' }));
  return command.stdout.includes(`-D ${data} `);
}

/**
 * Whether that server has not quite ended. A process gives its memory up, and its command line with it, before its files. One that has
 * ended stays in the table of processes, as a zombie, until its parent asks for its end.
 */
export async function lingers(pid: number, data: string): Promise<boolean> {
  if (process.platform !== 'linux') return serves(pid, data);
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => undefined);
  if (command === undefined) return false;
  if (command !== '') return isServerOf(data, command);
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat !== '' && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
}

/** Whether this command line, as Linux tells it, is that of a server over this data. */
function isServerOf(data: string, command: string): boolean {
  const words = command.split('\0');
  return words.includes('-D') && words[words.indexOf('-D') + 1] === data;
}
