import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { startEmbeddedDatabase } from '../../src/ledger/embedded.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type ChaosProxy, startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';
import type { Random } from './random.ts';

/** A way to a server, over a bad network. Its address stays the same however often the server is started again. */
export interface Line {
  url: string;
  proxy: ChaosProxy;
}

/** A server that is reached over bad networks only. */
export interface Server {
  /** Another way to it, which can fail on its own. */
  line(): Promise<Line>;
  /** All ways to it that were made. */
  lines: readonly Line[];
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same data. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface PostgresServer extends Server {
  /** The process that began all others of this server. */
  pid(): Promise<number>;
  /** Past the proxy, as it is reached just now: for who watches, not for what is tested. */
  directUrl(): string;
}

/** A PostgreSQL that writes down what it promises (fsync on), so that it may be killed at any moment. */
export async function startPostgres(): Promise<PostgresServer> {
  const folder = await temporaryFolder('chaos-postgres');
  // A temporary folder is closed to others, and as root the server runs as another account.
  await chmod(folder.path, 0o755);
  const options = { tcp: true, bringBack: false };
  let database = await startEmbeddedDatabase(folder.path, undefined, options);
  // It stays dead until it is started again here. Each start chooses a port; the proxies look at this object for every connection.
  const target = { host: '127.0.0.1', port: Number(new URL(database.url).port) };
  const lines = linesTo(target, (port) => {
    const url = new URL(database.url);
    url.port = String(port);
    return url.href;
  });
  const pid = async () => {
    const pidFile = await readFile(join(folder.path, 'postgres', 'data', 'postmaster.pid'), 'utf8');
    return Number(pidFile.split('\n')[0]);
  };

  return {
    ...lines,
    pid,
    directUrl: () => database.url,
    async kill() {
      const postmaster = await pid();
      process.kill(postmaster, 'SIGKILL');
      await until('PostgreSQL to be gone', async () => !(await lives(postmaster)));
      // Only gives up our own claim on the server that is dead.
      await database.stop();
    },
    async start() {
      database = await startEmbeddedDatabase(folder.path, undefined, options);
      target.port = Number(new URL(database.url).port);
    },
    async stop() {
      await lines.close();
      await database.stop();
      await folder.remove();
    },
  };
}

export interface RedisAtRisk extends Server {
  flush(): Promise<void>;
  /** Removes about this share of what stands for waiting jobs, and nothing else; answers how many keys that were. */
  evict(share: number, random: Random): Promise<number>;
  /** Another one takes its place, which knows nothing. */
  replace(): Promise<void>;
}

export async function startRedisAtRisk(): Promise<RedisAtRisk> {
  let server = await startRedis();
  const target = { host: '127.0.0.1', port: server.port };
  const lines = linesTo(target, (port) => `redis://127.0.0.1:${port}`);
  return {
    ...lines,
    kill: () => server.kill(),
    start: () => server.start(),
    flush: () => server.flush(),
    evict: (share, random) => evict(server.url, share, random),
    async replace() {
      await server.stop();
      server = await startRedis();
      target.port = server.port;
    },
    async stop() {
      await lines.close();
      await server.stop();
    },
  };
}

function linesTo(target: { host: string; port: number }, urlOf: (port: number) => string) {
  const lines: Line[] = [];
  return {
    lines,
    async line(): Promise<Line> {
      const proxy = await startProxy(target);
      const line = { url: urlOf(proxy.port), proxy };
      lines.push(line);
      return line;
    },
    close: () => Promise.all(lines.map(({ proxy }) => proxy.close())),
  };
}

/** As a server whose memory is full does it, key by key and without regard to what belongs together. */
async function evict(url: string, share: number, random: Random): Promise<number> {
  const redis = new Redis(url, { retryStrategy: () => null });
  redis.on('error', () => {});
  try {
    const keys: string[] = [];
    for await (const found of redis.scanStream({ count: 500 })) keys.push(...(found as string[]));
    // The queue's lists of jobs, and the jobs themselves; what BullMQ keeps of the queue itself stays.
    const own = /:(meta|id|events|stalled-check|limiter|pc|marker)$/;
    const chosen = keys.sort().filter((key) => !own.test(key) && random.chance(share));
    return chosen.length === 0 ? 0 : await redis.del(...chosen);
  } finally {
    redis.disconnect();
  }
}

/** A killed child that nobody has collected yet is a zombie: it answers signals but does nothing any more. */
async function lives(pid: number): Promise<boolean> {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return stat.slice(stat.lastIndexOf(')') + 2)[0] !== 'Z';
}
