import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';
import { temporaryFolder } from '../support/folder.ts';
import { createRandom } from './random.ts';
import { type Line, type PostgresServer, type RedisAtRisk, startPostgres, startRedisAtRisk } from './servers.ts';
import { type Supervised, supervise } from './supervise.ts';

export type Queue = 'postgres' | 'redis';

/** Everything that a run consists of: Tocsin's processes, which may be killed, what they stand on, and the world, which may not. */
export interface Parts {
  queue: Queue;
  apiKey: string;
  apis: { url: string; process: Supervised }[];
  workers: Worker[];
  postgres: PostgresServer;
  redis: RedisAtRisk | null;
  sandbox: Sandbox;
  /** Where the processes' logs are. */
  logs: string;
  stop(): Promise<void>;
}

export interface Worker extends Supervised {
  /** Its own way to PostgreSQL: it can fail for this worker alone. */
  line: Line;
  /** What its clock says differs from the truth by so many milliseconds from now on; its later lives begin like that, too. */
  setClock(offsetMs: number): Promise<void>;
}

/** Two of each, because that is the least at which one can go while its like takes over. */
const copies = 2;

/** Resolves when everything works. Whatever was started is stopped again when something does not. */
export async function startParts(queue: Queue, seed: number): Promise<Parts> {
  const ends: (() => Promise<unknown>)[] = [];
  const stop = async () => {
    for (const end of ends.splice(0).reverse()) {
      await end().catch((error) => console.error('a part did not stop:', error));
    }
  };
  try {
    const folder = await temporaryFolder('chaos');
    ends.push(() => folder.remove());
    const sandbox = await startSandbox({ seed });
    ends.push(() => sandbox.close());
    const postgres = await startPostgres();
    ends.push(() => postgres.stop());
    const redis = queue === 'redis' ? await startRedisAtRisk() : null;
    if (redis) ends.push(() => redis.stop());

    const apiKey = randomBytes(24).toString('hex');
    const { PATH = '', HOME = folder.path } = process.env;
    const database = await postgres.line();
    const env = {
      PATH,
      HOME,
      DATABASE_URL: database.url,
      ...(redis && { REDIS_URL: (await redis.line()).url }),
      TOCSIN_DATA: folder.path,
      TOCSIN_API_KEY: apiKey,
      TOCSIN_SECRET_KEY: randomBytes(32).toString('hex'),
      TOCSIN_ALLOW_PRIVATE_NETWORKS: 'true',
    };
    const began = (name: string, file: string, more: Record<string, string>, readyWhen: string) => {
      const path = fileURLToPath(new URL(`../../${file}`, import.meta.url));
      const random = createRandom(seed, name);
      const part = supervise({ name, file: path, env: { ...env, ...more }, readyWhen }, folder.path, random);
      ends.push(() => part.stop());
      return part;
    };
    const apis: Parts['apis'] = [];
    const workers: Worker[] = [];
    for (let n = 1; n <= copies; n += 1) {
      const PORT = String(await freePort());
      const process = began(`api-${n}`, 'src/server.ts', { PORT }, 'the API listens');
      apis.push({ url: `http://127.0.0.1:${PORT}`, process });
      const line = await postgres.line();
      const clock = await clockFile(join(folder.path, `worker-${n}.clock`));
      const more = { DATABASE_URL: line.url, ...clock.env, WORKERS_PORT: String(await freePort()) };
      const worker = began(`worker-${n}`, 'workers/main.ts', more, 'the workers run');
      workers.push(
        // Its state is read through getters, which a copy would lose.
        Object.assign(Object.create(worker) as Supervised, {
          line,
          async setClock(offsetMs: number) {
            await clock.set(offsetMs);
            await worker.ready();
            worker.send('SIGUSR2');
          },
        }),
      );
    }
    await Promise.all([...apis.map(({ process }) => process.ready()), ...workers.map((worker) => worker.ready())]);
    return { queue, apiKey, apis, workers, postgres, redis, sandbox, logs: folder.path, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** How a process is told what its clock shall say: `clock.ts` is loaded into it before anything else. */
async function clockFile(path: string) {
  const set = (offsetMs: number) => writeFile(path, String(offsetMs));
  await set(0);
  const module = new URL('./clock.ts', import.meta.url).href;
  return { set, env: { NODE_OPTIONS: `--import=${module}`, CHAOS_CLOCK: path } };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
