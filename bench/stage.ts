import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { Agent, request } from 'undici';
import { startEmbeddedDatabase } from '../src/ledger/embedded.ts';
import { temporaryFolder } from '../test/support/folder.ts';
import { redisAvailable, startRedis } from '../test/support/redis.ts';
import { until } from '../test/support/until.ts';
import { end, freePort, startProcess } from './processes.ts';
import { type Receivers, startReceivers } from './receivers.ts';

export type Queue = 'redis' | 'postgres';

/** One API and some workers as processes of their own, on a PostgreSQL that writes through (fsync on), and what they call. */
export interface Stage {
  queue: Queue;
  receivers: Receivers;
  db: pg.Pool;
  /** The processes, by what they are, for `cpuOf`. */
  pids: { api: number; workers: number[]; postgres: number; redis: number | null };
  // biome-ignore lint/suspicious/noExplicitAny: read as a client of a public API does
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
  /** Makes or replaces a webhook destination. */
  put(name: string, url: string, policy: object): Promise<void>;
  /** Posts one broadcast; throws when it is not accepted. */
  post(destinations: string[], title: string): Promise<void>;
  stop(): Promise<void>;
}

/** The backends that can be had here. */
export function queues(): Queue[] {
  return redisAvailable() ? ['redis', 'postgres'] : ['postgres'];
}

export async function startStage(queue: Queue, { workers = 1 } = {}): Promise<Stage> {
  const ends: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of ends.splice(0).reverse()) await end().catch((error) => console.error(error));
  };
  try {
    const folder = await temporaryFolder('bench');
    ends.push(() => folder.remove());
    // As root the server runs under another account, which has to reach its folder.
    await chmod(folder.path, 0o755);
    const database = await startEmbeddedDatabase(folder.path);
    ends.push(() => database.stop());
    const redis = queue === 'redis' ? await startRedis() : null;
    if (redis) ends.push(() => redis.stop());
    const receivers = await startReceivers();
    ends.push(() => receivers.close());
    const agent = new Agent({ connections: 64, pipelining: 1 });
    ends.push(() => agent.destroy());
    const db = new pg.Pool({ connectionString: database.url, max: 2 });
    db.on('error', () => {});
    ends.push(() => db.end());

    const key = randomBytes(16).toString('hex');
    const port = await freePort();
    const env = {
      PATH: process.env.PATH,
      PORT: String(port),
      DATABASE_URL: database.url,
      REDIS_URL: redis?.url ?? '',
      TOCSIN_DATA: folder.path,
      TOCSIN_API_KEY: key,
      TOCSIN_SECRET_KEY: randomBytes(16).toString('hex'),
      TOCSIN_ALLOW_PRIVATE_NETWORKS: 'true',
      LOG_LEVEL: 'fatal',
    };
    const started = (file: string): ChildProcess => {
      const child = startProcess(file, env, folder.path);
      ends.push(() => end(child));
      return child;
    };
    const call: Stage['call'] = async (method, path, body) => {
      const answer = await request(`http://127.0.0.1:${port}${path}`, {
        method: method as 'POST',
        dispatcher: agent,
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
        body: body === undefined ? null : JSON.stringify(body),
      });
      return { status: answer.statusCode, body: await answer.body.json() };
    };
    const api = started('src/server.ts');
    await until('the API', async () => (await call('GET', '/readyz')).status === 200, { timeoutMs: 60_000 });
    const loops = Array.from({ length: workers }, () => started('workers/main.ts'));

    return {
      queue,
      receivers,
      db,
      pids: {
        api: api.pid ?? 0,
        workers: loops.map(({ pid }) => pid ?? 0),
        postgres: Number.parseInt(await readFile(join(folder.path, 'postgres/data/postmaster.pid'), 'utf8'), 10),
        redis: redis?.pid() ?? null,
      },
      call,
      async put(name, url, policy) {
        const body = { kind: 'webhook', settings: { url }, secrets: {}, policy };
        const { status } = await call('PUT', `/destinations/${name}`, body);
        if (status !== 200 && status !== 201) throw new Error(`${name} could not be made: ${status}`);
      },
      async post(destinations, title) {
        const message = { title, body: 'Error rate **42 %** since 14:02.', severity: 'error' };
        const { status, body } = await call('POST', '/broadcasts', { message, destinations });
        if (status !== 202) throw new Error(`a broadcast was answered ${status}: ${JSON.stringify(body)}`);
      },
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
