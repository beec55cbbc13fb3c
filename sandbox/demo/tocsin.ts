import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Tocsin as a program of its own, on a fresh data folder. */
export interface Tocsin {
  url: string;
  logFile: string;
  /** One call of the public API; throws with the problem's own words where it says no. */
  api<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Ends it and removes its data. The log stays where `keepLog` asks for it. */
  stop(how: { keepLog: boolean }): Promise<void>;
}

const repository = fileURLToPath(new URL('../..', import.meta.url));
/** A Tocsin that has not ended in order by then is killed, in milliseconds. */
const patienceMs = 30_000;

export async function startTocsin(signal: AbortSignal): Promise<Tocsin> {
  const folder = await mkdtemp(join(tmpdir(), 'tocsin-demo-'));
  const logFile = `${folder}.log`;
  const log = createWriteStream(logFile);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const apiKey = `demo-${randomBytes(24).toString('base64url')}`;
  // Only what a program needs of this machine: a DATABASE_URL that happens to be set is somebody's real ledger.
  const { PATH, HOME, TMPDIR, SystemRoot } = process.env;
  const child = spawn(process.execPath, ['start.ts'], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'pipe'],
    // Its own group, so that Ctrl-C reaches the demo alone, which then ends Tocsin in order.
    detached: true,
    env: {
      ...{ PATH, HOME, TMPDIR, SystemRoot },
      PORT: String(port),
      TOCSIN_DATA: folder,
      TOCSIN_API_KEY: apiKey,
      TOCSIN_ALLOW_PRIVATE_NETWORKS: 'true',
      LOG_LEVEL: 'warn',
    },
  });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });

  async function api<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${url}${path}`, {
      method,
      signal,
      headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const answer = (await response.json()) as { detail?: string };
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${answer.detail}`);
    return answer as T;
  }
  async function stop({ keepLog }: { keepLog: boolean }): Promise<void> {
    await end(child);
    log.end();
    await rm(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
    if (!keepLog) await rm(logFile, { force: true });
  }

  try {
    for (;;) {
      if (hasEnded(child)) throw new Error('Tocsin ended before it was ready');
      if (await api('GET', '/readyz').catch(() => null)) return { url, logFile, api, stop };
      signal.throwIfAborted();
      await pause(50);
    }
  } catch (error) {
    await stop({ keepLog: !signal.aborted });
    throw new Error(`Tocsin did not start: ${(error as Error).message}. Its log: ${logFile}`, { cause: error });
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (hasEnded(child)) return;
  const gone = new Promise((resolve) => child.once('close', resolve));
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  child.kill('SIGTERM');
  await gone;
  clearTimeout(timer);
}

function hasEnded({ exitCode, signalCode }: ChildProcess): boolean {
  return exitCode !== null || signalCode !== null;
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
