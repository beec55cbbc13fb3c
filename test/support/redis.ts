import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { temporaryFolder } from './folder.ts';
import { until } from './until.ts';

export interface RedisServer {
  url: string;
  port: number;
  /** The process id of the server that runs now; 0 when none does. */
  pid(): number;
  /** SIGKILL: what was not written down is lost. */
  kill(): Promise<void>;
  /** Starts again after `kill`, on the same port and data. */
  start(): Promise<void>;
  /** Forgets everything, as an operator's FLUSHALL does. */
  flush(): Promise<void>;
  /** Ends it for good and removes its data. */
  stop(): Promise<void>;
}

let available: boolean | undefined;

/** Whether `redis-server` is on the PATH. Says so once where it is not: `describe.skipIf(!redisAvailable())`. */
export function redisAvailable(): boolean {
  if (available === undefined) {
    try {
      execFileSync('redis-server', ['--version'], { stdio: 'ignore' });
      available = true;
    } catch {
      available = false;
      console.warn('SKIPPED: redis-server is not on the PATH, so everything that needs a real Redis was not tested.');
    }
  }
  return available;
}

/** A real Redis on loopback, as the service requires it (noeviction), with an append-only file unless told otherwise. */
export async function startRedis(
  options: { port?: number; appendonly?: boolean; cluster?: boolean } = {},
): Promise<RedisServer> {
  const folder = await temporaryFolder('redis');
  const port = options.port ?? (await freePort(options.cluster));
  let child: ChildProcess | undefined;

  async function start(): Promise<void> {
    const settings: Record<string, string> = {
      port: `${port}`,
      bind: '127.0.0.1',
      dir: folder.path,
      pidfile: join(folder.path, 'redis.pid'),
      save: '',
      appendonly: options.appendonly === false ? 'no' : 'yes',
      appendfsync: 'everysec',
      'maxmemory-policy': 'noeviction',
      ...(options.cluster ? { 'cluster-enabled': 'yes', 'cluster-node-timeout': '2000' } : {}),
    };
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
    const next = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const output of [next.stdout, next.stderr]) output.on('data', (text) => (said = (said + text).slice(-2_000)));
    child = next;
    try {
      await until(`redis-server on port ${port} to answer`, () => {
        if (next.exitCode !== null) throw new Error('redis-server ended');
        return ask(port, (redis) => redis.ping());
      });
    } catch (cause) {
      await kill();
      throw new Error(`redis-server did not start: ${said}`, { cause });
    }
  }

  async function kill(): Promise<void> {
    const last = child;
    child = undefined;
    if (!last || last.exitCode !== null || last.signalCode !== null) return;
    const gone = new Promise((resolve) => last.once('exit', resolve));
    last.kill('SIGKILL');
    await gone;
  }

  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    pid: () => child?.pid ?? 0,
    kill,
    async start() {
      await kill();
      await start();
    },
    async flush() {
      await ask(port, (redis) => redis.flushall());
    },
    async stop() {
      await kill();
      await folder.remove();
    },
  };
}

export interface RedisCluster {
  nodes: RedisServer[];
  stop(): Promise<void>;
}

const SLOTS = 16_384;

/** A real Redis Cluster of masters without replicas, ready to take every key. */
export async function startRedisCluster(nodes = 3): Promise<RedisCluster> {
  const servers: RedisServer[] = [];
  const stop = async () => void (await Promise.all(servers.map((server) => server.stop())));
  try {
    for (let i = 0; i < nodes; i++) servers.push(await startRedis({ cluster: true }));
    const share = Math.ceil(SLOTS / nodes);
    for (const [i, { port }] of servers.entries()) {
      const last = Math.min((i + 1) * share, SLOTS) - 1;
      // Distinct epochs from the start: otherwise the nodes first settle, by colliding, who outranks whom.
      await ask(port, (redis) => redis.call('cluster', 'set-config-epoch', i + 1));
      await ask(port, (redis) => redis.call('cluster', 'addslotsrange', i * share, last));
      if (i > 0) await ask(port, (redis) => redis.call('cluster', 'meet', '127.0.0.1', servers[0]?.port ?? 0));
    }
    for (const { port } of servers) {
      await until(`the cluster node on port ${port} to know all ${nodes}`, async () => {
        const info = String(await ask(port, (redis) => redis.call('cluster', 'info')));
        return info.includes('cluster_state:ok') && info.includes(`cluster_known_nodes:${nodes}`);
      });
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes: servers, stop };
}

async function ask<T>(port: number, question: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis({ host: '127.0.0.1', port, lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => {}); // the rejection of connect() says it
  try {
    await redis.connect();
    return await question(redis);
  } finally {
    redis.disconnect();
  }
}

async function freePort(cluster = false): Promise<number> {
  for (;;) {
    const probe = createServer();
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject);
      probe.listen(0, '127.0.0.1', resolve);
    });
    const { port } = probe.address() as { port: number };
    await new Promise((resolve) => probe.close(resolve));
    // The nodes of a cluster talk on port + 10000.
    if (!cluster || port < 55_000) return port;
  }
}
