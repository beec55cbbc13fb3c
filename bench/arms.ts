import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { Agent, request } from 'undici';
import { startEmbeddedDatabase } from '../src/ledger/embedded.ts';
import { temporaryFolder } from '../test/support/folder.ts';
import { startRedis } from '../test/support/redis.ts';
import { until } from '../test/support/until.ts';
import { end, freePort, startProcess } from './processes.ts';

/** Sends in flight at most, over all destinations and processes of an arm. */
const concurrency = 160;
/** POSTs of the driver in flight at most. */
export const callers = 64;

/** One way to do the job, as processes on servers of their own. */
export interface Arm {
  name: string;
  redis: boolean;
  postgres: boolean;
  /** The processes to start, by the name of what they are. */
  processes: { part: 'api' | 'worker'; file: string }[];
  tocsin: boolean;
}

export const arms: Record<string, Arm> = {
  loop: {
    name: 'hand-written loop (BullMQ on Redis, nothing recorded)',
    redis: true,
    postgres: false,
    processes: [
      { part: 'api', file: 'bench/loop/api.ts' },
      { part: 'worker', file: 'bench/loop/worker.ts' },
    ],
    tocsin: false,
  },
  peer: {
    name: 'graphile-worker (jobs in PostgreSQL)',
    redis: false,
    postgres: true,
    processes: [
      { part: 'api', file: 'bench/peer/api.js' },
      { part: 'worker', file: 'bench/peer/worker.js' },
    ],
    tocsin: false,
  },
  redis1: tocsin('Tocsin on Redis, one worker', true, 1),
  redis2: tocsin('Tocsin on Redis, two workers', true, 2),
  postgres1: {
    name: 'Tocsin on PostgreSQL alone, one process',
    redis: false,
    postgres: true,
    processes: [{ part: 'api', file: 'start.ts' }],
    tocsin: true,
  },
  postgres2: tocsin('Tocsin on PostgreSQL alone, two workers', false, 2),
};

function tocsin(name: string, redis: boolean, workers: number): Arm {
  const worker = { part: 'worker' as const, file: 'workers/main.ts' };
  return {
    name,
    redis,
    postgres: true,
    processes: [{ part: 'api', file: 'src/server.ts' }, ...Array.from({ length: workers }, () => worker)],
    tocsin: true,
  };
}

export interface RunningArm {
  /** Process ids by part; `postgres` and `redis` are the servers. */
  pids: { api: number[]; worker: number[]; postgres: number[]; redis: number[] };
  /** Null where the arm has no PostgreSQL. */
  db: pg.Pool | null;
  /** Asks the API. */
  call(method: 'GET' | 'POST' | 'PUT', path: string, body?: unknown): Promise<{ status: number; text: string }>;
  /** Makes or replaces a webhook destination of Tocsin. */
  put(name: string, url: string, policy: object): Promise<void>;
  /** Posts one broadcast to all destinations, and answers when it was accepted. Throws when it was not. */
  post(title: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts an arm that sends to these ports. PostgreSQL has fsync on, Redis an append-only file that is synced every second. */
export async function startArm(
  arm: Arm,
  ports: readonly number[],
  { statements = false }: { statements?: boolean } = {},
): Promise<RunningArm> {
  const ends: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of ends.splice(0).reverse()) await end().catch((error) => console.error(error));
  };
  try {
    const folder = await temporaryFolder('bench');
    ends.push(() => folder.remove());
    // As root the server runs under another account, which has to reach its folder.
    await chmod(folder.path, 0o755);
    const cluster = join(folder.path, 'postgres/data');
    if (arm.postgres && statements) await countStatements(folder.path, cluster);
    const database = arm.postgres ? await startEmbeddedDatabase(folder.path) : null;
    if (database) ends.push(() => database.stop());
    const redis = arm.redis ? await startRedis() : null;
    if (redis) ends.push(() => redis.stop());
    const db = database ? new pg.Pool({ connectionString: database.url, max: 2 }) : null;
    db?.on('error', () => {});
    if (db) ends.push(() => db.end());

    const port = await freePort();
    const key = randomBytes(16).toString('hex');
    const names = ports.map((_, n) => `place-${n}`);
    const urlOf = (n: number) => `http://127.0.0.1:${ports[n]}/`;
    const env = {
      PATH: process.env.PATH,
      PORT: String(port),
      DATABASE_URL: database?.url ?? '',
      REDIS_URL: redis?.url ?? '',
      DESTINATIONS: JSON.stringify(Object.fromEntries(names.map((name, n) => [name, urlOf(n)]))),
      CONCURRENCY: String(concurrency),
      TOCSIN_DATA: folder.path,
      TOCSIN_API_KEY: key,
      TOCSIN_SECRET_KEY: randomBytes(16).toString('hex'),
      TOCSIN_ALLOW_PRIVATE_NETWORKS: 'true',
      LOG_LEVEL: 'fatal',
    };
    const agent = new Agent({ connections: callers, pipelining: 1 });
    ends.push(() => agent.destroy());
    const call: RunningArm['call'] = async (method, path, body) => {
      const answer = await request(`http://127.0.0.1:${port}${path}`, {
        method,
        dispatcher: agent,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await answer.body.text();
      return { status: answer.statusCode, text };
    };

    const pids: RunningArm['pids'] = { api: [], worker: [], postgres: [], redis: redis ? [redis.pid()] : [] };
    if (database) {
      pids.postgres.push(Number.parseInt(await readFile(join(cluster, 'postmaster.pid'), 'utf8'), 10));
    }
    for (const { part, file } of arm.processes) {
      const child = startProcess(file, env, folder.path);
      ends.push(() => end(child));
      pids[part].push(child.pid ?? 0);
      // The API makes the tables: workers that start beside it would only wait for the same lock.
      if (part === 'api') {
        const ready = arm.tocsin ? '/readyz' : '/';
        const answers = () => call('GET', ready).then(({ status }) => (arm.tocsin ? status === 200 : true));
        await until(`${arm.name} to listen`, () => answers().catch(() => false), { timeoutMs: 60_000 });
      }
    }
    const put: RunningArm['put'] = async (name, url, policy) => {
      const body = { kind: 'webhook', settings: { url }, secrets: {}, policy };
      const { status, text } = await call('PUT', `/destinations/${name}`, body);
      if (status !== 200 && status !== 201) throw new Error(`Destination ${name} could not be made: ${status} ${text}`);
    };
    if (arm.tocsin) {
      const policy = { concurrency: concurrency / ports.length };
      for (const [n, name] of names.entries()) await put(name, urlOf(n), policy);
    }
    return {
      pids,
      db,
      call,
      put,
      async post(title) {
        const message = { title, body: 'Error rate **42 %** since 14:02.', severity: 'error' };
        const { status, text } = await call('POST', '/broadcasts', { message, destinations: names });
        if (status !== 202) throw new Error(`A broadcast was answered ${status}: ${text}`);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Makes a cluster whose server counts what each statement costs (pg_stat_statements). */
async function countStatements(folder: string, cluster: string): Promise<void> {
  await (await startEmbeddedDatabase(folder)).stop();
  await appendFile(join(cluster, 'postgresql.conf'), `\nshared_preload_libraries = 'pg_stat_statements'\n`);
  const database = await startEmbeddedDatabase(folder);
  const url = new URL(database.url);
  url.username = 'postgres';
  url.password = (await readFile(join(folder, 'postgres/password'), 'utf8')).trim();
  const client = new pg.Client({ connectionString: url.href });
  try {
    await client.connect();
    await client.query('create extension pg_stat_statements');
    await client.query('grant pg_read_all_stats to tocsin');
    await client.query('grant execute on function pg_stat_statements_reset to tocsin');
  } finally {
    await client.end();
    await database.stop();
  }
}

/** The peer's packages are no part of the project's own: they are installed by whoever runs the comparison. */
export function installPeer(): void {
  const folder = fileURLToPath(new URL('./peer', import.meta.url));
  if (existsSync(join(folder, 'node_modules'))) return;
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { cwd: folder, stdio: 'inherit' });
}
