import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { Agent, request } from 'undici';
import { startEmbeddedDatabase } from '../../src/ledger/embedded.ts';
import { temporaryFolder } from '../support/folder.ts';
import { startRedis } from '../support/redis.ts';
import { secretsIn } from '../support/secrets.ts';
import { until } from '../support/until.ts';

export type Queue = 'postgres' | 'redis';

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: it is read as the clients of a public API do, without our types
  body: any;
  bytes: number;
  ms: number;
}

export interface CallOptions {
  key?: string;
  /** In milliseconds; 60,000 by default. */
  timeoutMs?: number;
}

/** A Tocsin in one process, API and workers, on servers of its own. */
export interface Target {
  url: string;
  apiKey: string;
  pid(): number;
  lives(): boolean;
  api(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Answer>;
  /** Something that must never be in an answer or in the log. */
  hide(secret: string): void;
  /** Where a secret was found. */
  leaks(): string[];
  answers(): number;
  logs(): string;
  /** From now on: how many times longer than on an idle machine its work takes, because others have the cores. At least 1. */
  watchPace(): () => number;
  /** The most memory in MB since `forgetPeak`, and what there is now. */
  memory(): { now: number; peak: number };
  forgetPeak(): void;
  /** Kills it and starts another one, which knows nothing of what was. */
  renew(): Promise<void>;
  stop(): Promise<void>;
}

/** On a machine that is slower than this, bounds mean nothing any more. */
const mostSlow = 20;

const repository = fileURLToPath(new URL('../..', import.meta.url));

export async function startTarget(queue: Queue): Promise<Target> {
  const ends: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    await kill();
    for (const end of ends.splice(0).reverse())
      await end().catch((error) => console.error('a part did not stop:', error));
  };
  const secrets = new Set<string>();
  const leaks = new Set<string>();
  let child: ChildProcess | undefined;
  let log = '';
  let answers = 0;
  let renewals = 0;

  async function kill(): Promise<void> {
    const last = child;
    child = undefined;
    if (!last || last.exitCode !== null || last.signalCode !== null) return;
    const gone = new Promise((resolve) => last.once('close', resolve));
    last.kill('SIGKILL');
    await gone;
  }

  try {
    const folder = await temporaryFolder('attack');
    ends.push(() => folder.remove());
    await chmod(folder.path, 0o755);
    const database = await startEmbeddedDatabase(folder.path, undefined, { durable: false, tcp: true });
    ends.push(() => database.stop());
    const redis = queue === 'redis' ? await startRedis() : null;
    if (redis) ends.push(() => redis.stop());
    const agent = new Agent({ pipelining: 0, connections: 64 });
    ends.push(() => agent.destroy());
    const apiKey = `attack-${randomBytes(20).toString('hex')}`;
    const secretKey = randomBytes(32).toString('hex');
    for (const secret of [apiKey, secretKey]) secrets.add(secret);
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const { PATH = '', HOME = folder.path } = process.env;

    async function start(databaseUrl: string): Promise<void> {
      const env = {
        PATH,
        HOME,
        HOST: '127.0.0.1',
        PORT: String(port),
        DATABASE_URL: databaseUrl,
        REDIS_URL: redis?.url ?? '',
        TOCSIN_DATA: folder.path,
        TOCSIN_API_KEY: apiKey,
        TOCSIN_SECRET_KEY: secretKey,
        TOCSIN_ALLOW_PRIVATE_NETWORKS: 'true',
      };
      const next = spawn(process.execPath, ['start.ts'], { cwd: repository, env, stdio: ['ignore', 'pipe', 'pipe'] });
      // Ended with the rest when this program is killed itself.
      if (next.pid) await writeFile(join(folder.path, 'target.pid'), String(next.pid));
      for (const output of [next.stdout, next.stderr]) output.on('data', (said) => note(String(said)));
      child = next;
      await until(
        'Tocsin to be ready',
        async () => {
          if (next.exitCode !== null) return true;
          return (await api('GET', '/readyz')).status === 200;
        },
        { timeoutMs: 120_000 },
      );
      if (next.exitCode !== null) throw new Error(`Tocsin ended with ${next.exitCode}: ${log.slice(-2_000)}`);
    }

    function note(said: string): void {
      log = (log + said).slice(-2_000_000);
      search(said, 'the log');
    }
    function search(text: string, where: string): void {
      for (const secret of secrets) {
        const at = text.indexOf(secret);
        if (at >= 0) leaks.add(`${where} holds "${secret.slice(0, 6)}…": …${text.slice(Math.max(0, at - 60), at)}`);
      }
    }

    async function api(method: string, path: string, body?: unknown, options: CallOptions = {}): Promise<Answer> {
      for (const secret of secretsIn(body)) secrets.add(secret);
      const began = performance.now();
      const answer = await request(`${url}${path}`, {
        method,
        dispatcher: agent,
        signal: AbortSignal.timeout(options.timeoutMs ?? 60_000),
        headers: {
          authorization: `Bearer ${options.key ?? apiKey}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        },
        body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
      });
      const text = await answer.body.text();
      const ms = performance.now() - began;
      answers += 1;
      search(text, `${method} ${path}`);
      const isJson = String(answer.headers['content-type']).includes('json');
      return {
        status: answer.statusCode,
        body: isJson && text ? JSON.parse(text) : text,
        bytes: Buffer.byteLength(text),
        ms,
      };
    }

    const status = () => readFileSync(`/proc/${child?.pid}/status`, 'utf8');
    const megabytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status())?.[1] ?? 0) / 1_024;
    await start(database.url);
    return {
      url,
      apiKey,
      pid: () => child?.pid ?? 0,
      lives: () => child !== undefined && child.exitCode === null && child.signalCode === null,
      api,
      hide: (secret) => void secrets.add(secret),
      leaks: () => [...leaks],
      answers: () => answers,
      logs: () => log,
      watchPace() {
        const before = schedule(child?.pid);
        return () => {
          const now = schedule(child?.pid);
          const ran = now.ran - before.ran;
          return ran > 0 ? Math.min(mostSlow, (ran + now.waited - before.waited) / ran) : 1;
        };
      },
      memory: () => ({ now: megabytes('VmRSS'), peak: megabytes('VmHWM') }),
      forgetPeak: () => writeFileSync(`/proc/${child?.pid}/clear_refs`, '5'),
      async renew() {
        await kill();
        renewals += 1;
        const name = `renewed_${renewals}`;
        const client = new pg.Client({ connectionString: database.url });
        await client.connect();
        await client.query(`create database ${name}`);
        await client.end();
        await redis?.flush();
        const fresh = new URL(database.url);
        fresh.pathname = `/${name}`;
        await start(fresh.href);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** How long the main thread ran, and how long it was ready to run and had no core. */
function schedule(pid: number | undefined): { ran: number; waited: number } {
  try {
    const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number);
    return { ran, waited };
  } catch {
    return { ran: 0, waited: 0 };
  }
}

export async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
