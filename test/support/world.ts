import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Agent, request } from 'undici';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';
import { freshDatabase } from './database.ts';
import { type Ear, hear } from './events.ts';
import { temporaryFolder } from './folder.ts';
import { patiently } from './patiently.ts';
import { type ChaosProxy, startProxy } from './proxy.ts';
import { type RedisServer, startRedis } from './redis.ts';
import { secretsIn } from './secrets.ts';
import { until } from './until.ts';

export type QueueKind = 'postgres' | 'redis';

export interface Answer {
  status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests read it as the clients of a public API do, without our types
  body: any;
  headers: Record<string, string | string[] | undefined>;
}

/** A real Tocsin process on a database and a queue of its own, and the sandbox around it. */
export interface World {
  queue: QueueKind;
  url: string;
  sandbox: Sandbox;
  /** Null on the PostgreSQL queue. */
  redis: RedisServer | null;
  /** Between Tocsin and its PostgreSQL. */
  databaseLine: ChaosProxy;
  api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** Follows server-sent events, behind an id or from where they begin. */
  hear(path: string, lastEventId?: string): Promise<Ear>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGTERM; resolves with the exit code once the process is gone, null when a signal ended it. */
  end(): Promise<number | null>;
  /** Again on the same data and at the same address, after `kill` or `end`. */
  start(): Promise<void>;
  /** Ends and removes everything. Throws when the process does not end in order, or when its log holds a secret. */
  stop(): Promise<void>;
  /** What the process has logged, over all its starts. */
  logs(): string;
}

const repository = fileURLToPath(new URL('../..', import.meta.url));
const apiKey = `journey-${randomBytes(16).toString('hex')}`;
const secretKey = randomBytes(32).toString('base64');

export async function startWorld({ queue }: { queue: QueueKind }): Promise<World> {
  const ends: (() => Promise<unknown>)[] = [];
  const later = <T>(part: T, end: (part: T) => Promise<unknown>): T => {
    ends.push(() => end(part));
    return part;
  };
  const endAll = async () => {
    for (const end of ends.reverse()) await end();
  };

  const secrets = new Set([apiKey, secretKey]);
  let child: ChildProcess | undefined;
  let log = '';

  async function assemble(): Promise<World> {
    const folder = later(await temporaryFolder('journey'), ({ remove }) => remove());
    const database = later(await freshDatabase(), ({ drop }) => drop());
    const server = new URL(database.url);
    const databaseLine = later(
      await startProxy({ host: server.hostname, port: Number(server.port || 5432) }),
      ({ close }) => close(),
    );
    server.hostname = '127.0.0.1';
    server.port = String(databaseLine.port);
    const redis = queue === 'redis' ? later(await startRedis(), ({ stop }) => stop()) : null;
    const sandbox = later(await startSandbox(), ({ close }) => close());
    // Every call on a connection of its own: one that outlived a kill would fail a call that has nothing to do with it.
    const agent = later(new Agent({ pipelining: 0 }), (each) => each.destroy());
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const env = {
      PATH: process.env.PATH,
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: server.href,
      REDIS_URL: redis?.url ?? '',
      TOCSIN_DATA: folder.path,
      TOCSIN_API_KEY: apiKey,
      TOCSIN_SECRET_KEY: secretKey,
      TOCSIN_ALLOW_PRIVATE_NETWORKS: 'true',
      LOG_LEVEL: 'debug',
    };

    async function start(): Promise<void> {
      const next = spawn(process.execPath, ['start.ts'], { cwd: repository, env, stdio: ['ignore', 'pipe', 'pipe'] });
      for (const output of [next.stdout, next.stderr]) output.on('data', (text) => (log += text));
      child = next;
      const ready = async () => (next.exitCode !== null ? 'ended' : (await api('GET', '/readyz')).status === 200);
      const is = await until('Tocsin to be ready', ready).catch(() => 'late');
      if (is !== true) throw new Error(`Tocsin did not start (${is}):\n${log.slice(-4_000)}`);
    }

    const api: World['api'] = (...given) => patiently(() => call(...given));

    async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
      for (const secret of secretsIn(body)) secrets.add(secret);
      const answer = await request(`${url}${path}`, {
        method,
        dispatcher: agent,
        headersTimeout: 70_000,
        headers: {
          authorization: `Bearer ${apiKey}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await answer.body.text();
      const leaked = [...secrets].find((secret) => text.includes(secret));
      if (leaked) throw new Error(`${method} ${path} gives a secret away: ${leaked}`);
      const isJson = String(answer.headers['content-type']).includes('json');
      return { status: answer.statusCode, headers: answer.headers, body: isJson && text ? JSON.parse(text) : text };
    }

    async function hearHere(path: string, lastEventId?: string): Promise<Ear> {
      const ear = await hear(`${url}${path}`, { key: apiKey, ...(lastEventId && { lastEventId }) });
      return later(ear, async () => ear.cut());
    }

    await start();
    return { queue, url, sandbox, redis, databaseLine, api, hear: hearHere, start, kill, end, stop, logs: () => log };
  }

  const signalled = async (signal: NodeJS.Signals) => {
    const last = child;
    child = undefined;
    if (!last) return 0;
    if (last.exitCode === null && last.signalCode === null) {
      const gone = new Promise((resolve) => last.once('close', resolve));
      last.kill(signal);
      await gone;
    }
    return last.exitCode;
  };
  const kill = async () => void (await signalled('SIGKILL'));
  const end = () => signalled('SIGTERM');
  const stop = async () => {
    const code = await end();
    await endAll();
    if (code !== 0) throw new Error(`Tocsin ended with ${code}:\n${log.slice(-4_000)}`);
    const leaked = [...secrets].find((secret) => log.includes(secret));
    if (leaked) throw new Error(`The log holds a secret: ${lineWith(log, leaked)}`);
  };

  try {
    return await assemble();
  } catch (error) {
    await kill();
    await endAll();
    throw error;
  }
}

function lineWith(log: string, text: string): string {
  return log.split('\n').find((line) => line.includes(text)) ?? '';
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
