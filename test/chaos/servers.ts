import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startEmbeddedDatabase } from '../../src/ledger/embedded.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type ChaosProxy, startProxy } from '../support/proxy.ts';
import { startRedis } from '../support/redis.ts';
import { until } from '../support/until.ts';

/** A server behind a bad network. Its address for others stays the same however often it is started again. */
export interface Server {
  /** Through the proxy. */
  url: string;
  proxy: ChaosProxy;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again on the same data. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface PostgresServer extends Server {
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
  // It stays dead until it is started again here. Each start chooses a port; the proxy looks at this object for every connection.
  const target = { host: '127.0.0.1', port: Number(new URL(database.url).port) };
  const proxy = await startProxy(target);
  const url = new URL(database.url);
  url.port = String(proxy.port);

  return {
    url: url.href,
    proxy,
    directUrl: () => database.url,
    async kill() {
      const pidFile = await readFile(join(folder.path, 'postgres', 'data', 'postmaster.pid'), 'utf8');
      const pid = Number(pidFile.split('\n')[0]);
      process.kill(pid, 'SIGKILL');
      await until('PostgreSQL to be gone', async () => !(await lives(pid)));
      // Only gives up our own claim on the server that is dead.
      await database.stop();
    },
    async start() {
      database = await startEmbeddedDatabase(folder.path, undefined, options);
      target.port = Number(new URL(database.url).port);
    },
    async stop() {
      await proxy.close();
      await database.stop();
      await folder.remove();
    },
  };
}

export interface RedisAtRisk extends Server {
  flush(): Promise<void>;
  /** Another one takes its place, which knows nothing. */
  replace(): Promise<void>;
}

export async function startRedisAtRisk(): Promise<RedisAtRisk> {
  let server = await startRedis();
  const target = { host: '127.0.0.1', port: server.port };
  const proxy = await startProxy(target);
  return {
    url: proxy.url('redis://'),
    proxy,
    kill: () => server.kill(),
    start: () => server.start(),
    flush: () => server.flush(),
    async replace() {
      await server.stop();
      server = await startRedis();
      target.port = server.port;
    },
    async stop() {
      await proxy.close();
      await server.stop();
    },
  };
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
