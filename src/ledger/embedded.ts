import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, open, readFile, realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { type Account, chooseAccount } from './embedded/account.ts';
import { findBinaries } from './embedded/binaries.ts';
import {
  type Cluster,
  createCluster,
  discardStalePidFile,
  ENVIRONMENT,
  openCluster,
  removeDrafts,
  runningServer,
  SUPERUSER,
  serves,
} from './embedded/cluster.ts';
import { type Hold, holdServer } from './embedded/hold.ts';

export interface EmbeddedDatabase {
  url: string;
  /** Gives the server up, and stops it unless another process uses it. */
  stop(): Promise<void>;
}

interface Log {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

const NAME = 'tocsin';
const quiet: Log = { info: () => {}, warn: () => {} };

// Recovery after a power cut replays what was written since the last checkpoint, at most max_wal_size: well within this.
const PATIENCE_MS = 120_000;
// Starts fail for reasons that pass: the port was taken after we chose it, another starter was first, or the backends of
// a killed server still hold its shared memory, which they leave within a second or so.
const STARTS = 8;

/**
 * Starts, joins or recovers the PostgreSQL under `<dataDir>/postgres`: one that a killed process left running is joined,
 * and so is one that another process uses now. The server has its own session and ignores Ctrl-C; it runs until `stop`.
 *
 * @param options.durable false only where losing everything in a crash is fine, as in tests: it is about speed
 */
export async function startEmbeddedDatabase(
  dataDir: string,
  log: Log = quiet,
  options: { durable?: boolean } = {},
): Promise<EmbeddedDatabase> {
  const started = performance.now();
  const durable = options.durable ?? true;
  const binaries = await findBinaries();
  await mkdir(dataDir, { recursive: true });
  // The server is recognised by the path it was started with, so everybody must mean the same one.
  const folder = await realpath(dataDir);
  const home = join(folder, 'postgres');
  const account = await chooseAccount(folder, home, binaries.postgres);

  if (!(await openCluster(home))) {
    await removeDrafts(home);
    await createCluster(home, binaries.initdb, account, durable);
  }
  const cluster = await openCluster(home);
  if (!cluster) throw new Error(`The embedded PostgreSQL in ${home} disappeared while it was being started.`);

  const start = () => launch(binaries.postgres, cluster, account, join(folder, 'postgres.log'), durable);
  const { port, hold, joined } = await reachServer(cluster, start, log);
  await prepare(port, cluster.password);
  log.info({ port, joined, ms: Math.round(performance.now() - started) }, 'embedded PostgreSQL is ready');

  let stopping: Promise<void> | undefined;
  return {
    url: `postgres://${NAME}:${cluster.password}@127.0.0.1:${port}/${NAME}`,
    stop() {
      stopping ??= hold
        .release(() => shutDown(cluster.data))
        .catch((error) => log.warn({ err: error }, 'embedded PostgreSQL could not be stopped'));
      return stopping;
    },
  };
}

/** Tries to join until it works, and starts a server whenever there is none to join. */
async function reachServer(
  cluster: Cluster,
  start: () => Promise<Launch>,
  log: Log,
): Promise<{ port: number; hold: Hold; joined: boolean }> {
  const deadline = Date.now() + PATIENCE_MS;
  let launched: Launch | undefined;
  let starts = 0;
  let problem: unknown;
  while (Date.now() < deadline) {
    const server = await runningServer(cluster.data);
    if (server) {
      try {
        const hold = await holdServer(server.port, cluster.password, (error) =>
          log.warn({ err: error }, 'embedded PostgreSQL restarted its sessions'),
        );
        return { port: server.port, hold, joined: launched?.child.pid !== server.pid };
      } catch (error) {
        // Class 28 is a refused login, which waiting does not mend; all else is a server that starts or stops just now.
        if (String((error as { code?: string }).code).startsWith('28')) throw error;
        problem = error;
      }
    } else if (!launched || launched.ended) {
      if (launched) problem = await launched.complaint();
      if (starts === STARTS) break;
      if (starts++ > 0) await delay(300);
      await discardStalePidFile(cluster.data);
      launched = await start();
    }
    await delay(25);
  }
  throw new Error(`The embedded PostgreSQL in ${cluster.data} did not start: ${(problem as Error)?.message}`, {
    cause: problem,
  });
}

interface Launch {
  child: ChildProcess;
  ended: boolean;
  /** What the server said before it ended. */
  complaint(): Promise<Error>;
}

async function launch(
  postgres: string,
  { data }: Cluster,
  account: Account,
  logFile: string,
  durable: boolean,
): Promise<Launch> {
  const settings = {
    port: await freePort(),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '', // a socket's path may not exceed 107 bytes, which a deep data folder does
    max_connections: 400, // each lane on the queue's PostgreSQL backend listens on one of its own
    shared_buffers: '64MB',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off', // the log is not rotated: only what somebody would want to read
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const { file, args: words, options } = account.command(postgres, ['-D', data, ...args]);

  // Readable by one account alone: a failed statement is logged with its text.
  const output = await open(logFile, 'a', 0o600);
  await account.own(logFile);
  const { size } = await output.stat();
  try {
    const child = spawn(file, words, {
      ...options,
      cwd: '/', // ours may be closed to the account
      env: { ...ENVIRONMENT, LC_ALL: 'C' },
      stdio: ['ignore', output.fd, output.fd],
      detached: true, // a session of its own: Ctrl-C in the terminal must reach us and not the server
    });
    child.unref();
    const launched: Launch = {
      child,
      ended: false,
      async complaint() {
        const said = (await readFile(logFile)).subarray(size).toString('utf8').trim();
        return new Error(`${said.split('\n').slice(-8).join('\n') || 'it said nothing'} (${logFile})`);
      },
    };
    child.once('exit', () => {
      launched.ended = true;
    });
    child.once('error', (error) => {
      launched.ended = true;
      launched.complaint = async () => error;
    });
    return launched;
  } finally {
    await output.close();
  }
}

/** PostgreSQL's fast shutdown: open sessions are ended, everything is written, nothing needs recovery at the next start. */
async function shutDown(data: string): Promise<void> {
  const server = await runningServer(data);
  if (!server) return;
  process.kill(server.pid, 'SIGINT');
  const deadline = Date.now() + PATIENCE_MS;
  // Not its lock file, which goes a moment before: whoever removes the folder next must not meet it still at work.
  while (await serves(server.pid, data)) {
    if (Date.now() > deadline) throw new Error(`PostgreSQL ${server.pid} is still stopping after ${PATIENCE_MS} ms`);
    await delay(10);
  }
}

/** The database and the account of the service: it owns the one and may create more, and is not a superuser. */
async function prepare(port: number, password: string): Promise<void> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port,
    user: SUPERUSER,
    password,
    database: 'postgres',
    ssl: false,
  });
  await client.connect();
  try {
    const { rows } = await client.query('select from pg_database where datname = $1', [NAME]);
    if (rows.length > 0) return;
    for (const statement of [
      `create role ${NAME} login createdb password ${client.escapeLiteral(password)}`,
      `create database ${NAME} owner ${NAME}`,
    ]) {
      await client.query(statement).catch((error: { code?: string }) => {
        // Made in the same moment by another starter, or by one that was killed half way.
        if (!['42710', '42P04', '23505'].includes(error.code ?? '')) throw error;
      });
    }
  } finally {
    await client.end();
  }
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
