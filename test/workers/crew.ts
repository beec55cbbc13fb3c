import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { request } from 'undici';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';
import { freshDatabase } from '../support/database.ts';
import { temporaryFolder } from '../support/folder.ts';
import { isUnavailable, patiently } from '../support/patiently.ts';
import { type RedisServer, redisAvailable, startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

export type QueueKind = 'postgres' | 'redis';

/** What can be tested here; says loudly what cannot. */
export const queueKinds: QueueKind[] = redisAvailable() ? ['postgres', 'redis'] : ['postgres'];

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: read as the clients of a public API do, without our types
  body: any;
  headers: Record<string, string | string[] | undefined>;
}

/** API and worker processes, several of each, on one database and one queue. */
export interface Crew {
  sandbox: Sandbox;
  db: pg.Pool;
  redis: RedisServer | null;
  /** Asks the APIs in turn. */
  api(method: string, path: string, body?: unknown): Promise<Answer>;
  /** Makes or replaces a webhook destination at the sandbox. */
  webhook(name: string, policy?: object): Promise<Answer>;
  /** Posts to these, and answers the broadcast's id. */
  post(destinations: string[], severity?: string): Promise<string>;
  /** Resolves when a delivery is in this state. */
  reaches(broadcast: string, state: string, timeoutMs?: number): Promise<unknown>;
  hire(): Promise<ChildProcess>;
  /** SIGKILL for one worker. */
  lose(worker: ChildProcess): Promise<void>;
  logs(): string;
  stop(): Promise<void>;
}

export interface CrewOptions {
  queue: QueueKind;
  /** A queue that is there already. */
  redisUrl?: string;
  workers?: number;
  apis?: number;
  env?: Record<string, string>;
}

export async function startCrew({ queue, redisUrl, workers = 2, apis = 1, env: more }: CrewOptions): Promise<Crew> {
  const ends: (() => Promise<unknown>)[] = [];
  let log = '';
  const stop = async () => {
    for (const end of ends.splice(0).reverse()) await end();
  };
  try {
    const folder = await temporaryFolder('crew');
    ends.push(() => folder.remove());
    const database = await freshDatabase();
    ends.push(() => database.drop());
    const redis = queue === 'redis' && !redisUrl ? await startRedis() : null;
    if (redis) ends.push(() => redis.stop());
    const sandbox = await startSandbox();
    ends.push(() => sandbox.close());
    const db = new pg.Pool({ connectionString: database.url, max: 2 });
    db.on('error', () => {});
    ends.push(() => db.end());
    const apiKey = randomBytes(16).toString('hex');
    const env = {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      REDIS_URL: redisUrl ?? redis?.url ?? '',
      TOCSIN_DATA: folder.path,
      TOCSIN_API_KEY: apiKey,
      TOCSIN_SECRET_KEY: randomBytes(16).toString('hex'),
      TOCSIN_ALLOW_PRIVATE_NETWORKS: 'true',
      ...more,
    };

    async function begin(file: string, readyWhen: string, port?: number): Promise<ChildProcess> {
      const path = fileURLToPath(new URL(`../../${file}`, import.meta.url));
      const child = spawn(process.execPath, [path], {
        env: { ...env, ...(port && { PORT: String(port) }) },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let said = '';
      for (const output of [child.stdout, child.stderr]) {
        output.on('data', (text) => {
          said = (said + text).slice(-4_000);
          log += text;
        });
      }
      ends.push(() => end(child, 'SIGTERM'));
      const is = await until(`${file} to say "${readyWhen}"`, () => {
        if (said.includes(readyWhen)) return 'ready';
        return child.exitCode !== null && 'ended';
      });
      if (is === 'ended') throw new Error(`${file} ended: ${said}`);
      return child;
    }
    const hire = () => begin('workers/main.ts', 'the workers run');

    // The first to come migrates; after that they may all come at once.
    const ports = await Promise.all(Array.from({ length: apis }, freePort));
    const [first, ...others] = ports.map((port) => () => begin('src/server.ts', 'the API listens', port));
    await first?.();
    await Promise.all([...others.map((start) => start()), ...Array.from({ length: workers }, hire)]);

    let turn = 0;
    const api: Crew['api'] = (...given) => patiently(() => call(...given));
    const call = async (method: string, path: string, body?: unknown, key?: string): Promise<Answer> => {
      const answer = await request(`http://127.0.0.1:${ports[turn++ % ports.length]}${path}`, {
        method: method as 'POST',
        headers: {
          authorization: `Bearer ${apiKey}`,
          'content-type': 'application/json',
          ...(key && { 'idempotency-key': key }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await answer.body.text();
      const isJson = String(answer.headers['content-type']).includes('json');
      return { status: answer.statusCode, headers: answer.headers, body: isJson && text ? JSON.parse(text) : text };
    };
    return {
      sandbox,
      db,
      redis,
      api,
      hire,
      lose: (worker) => end(worker, 'SIGKILL'),
      webhook: (name, policy = {}) =>
        patiently(
          () =>
            api('PUT', `/destinations/${name}`, {
              kind: 'webhook',
              settings: { url: sandbox.addresses.webhookUrl(name) },
              secrets: {},
              policy,
            }),
          isUnavailable,
        ),
      async post(destinations, severity = 'error') {
        const key = randomBytes(8).toString('hex');
        const wanted = { message: { title: 'Down', severity }, destinations };
        const { status, body } = await patiently(() => call('POST', '/broadcasts', wanted, key), isUnavailable);
        if (![200, 202].includes(status)) throw new Error(`answered ${status}: ${JSON.stringify(body)}`);
        return body.id;
      },
      reaches: (broadcast, state, timeoutMs = 60_000) =>
        until(
          `${broadcast} to be ${state}`,
          async () => {
            const { body } = await api('GET', `/broadcasts/${broadcast}`);
            if (body.deliveries.some((each: { state: string }) => each.state === state)) return true;
            throw new Error(body.summary);
          },
          { timeoutMs, everyMs: 50 },
        ),
      logs: () => log,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  const late = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await gone;
  clearTimeout(late);
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
