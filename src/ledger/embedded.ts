import { createHmac } from 'node:crypto';
import { mkdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { StartError } from '../start-error.ts';
import { chooseAccount } from './embedded/account.ts';
import { type Address, socketFolder, socketUrl } from './embedded/address.ts';
import { findBinaries } from './embedded/binaries.ts';
import { createCluster, openCluster, removeDrafts } from './embedded/cluster.ts';
import { administrator, type Hold } from './embedded/hold.ts';
import type { Plan } from './embedded/launch.ts';
import { abandon, type Reached, reachServer, shutDown } from './embedded/reach.ts';

export interface EmbeddedDatabase {
  url: string;
  /** Gives the server up, and stops it unless another process uses it. */
  stop(): Promise<void>;
}

export interface EmbeddedOptions {
  /** Ends the start at any moment. A server that was started by then is stopped, unless another process uses it. */
  signal?: AbortSignal | undefined;
  /** Told when the server ended and could not be brought back: nothing works any more. */
  onDead?: ((error: StartError) => void) | undefined;
  /** False only where losing everything in a crash is fine, as in tests: it is about speed. */
  durable?: boolean;
  /** Gives an address on loopback for tests that put a proxy in front. Such a server gets another port with each start. */
  tcp?: boolean;
  /** False leaves a server that died dead. */
  bringBack?: boolean;
  /** How long a server may take to start, in milliseconds, and how long it is tried to bring one back. */
  patienceMs?: number;
}

interface Log {
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
}

/** Recovery after a power cut replays what was written since the last checkpoint, at most max_wal_size: well within this. */
const PATIENCE_MS = 120_000;
const NAME = 'tocsin';
const quiet: Log = { info: () => {}, warn: () => {} };
/** Only one starter at a time prepares a server. */
const PREPARING = 7_463_003;

/**
 * Starts, joins or recovers the PostgreSQL under `<dataDir>/postgres`: one that a killed process left running is joined,
 * and so is one that another process uses now. The server has its own session and ignores Ctrl-C; it runs until `stop`.
 * When it dies meanwhile, one of those who use it starts it again, at the same address.
 */
export async function startEmbeddedDatabase(
  dataDir: string,
  log: Log = quiet,
  options: EmbeddedOptions = {},
): Promise<EmbeddedDatabase> {
  const {
    signal,
    onDead = () => {},
    durable = true,
    tcp = false,
    bringBack = true,
    patienceMs = PATIENCE_MS,
  } = options;
  const started = performance.now();
  const binaries = await findBinaries();
  await mkdir(dataDir, { recursive: true, mode: 0o755 });
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
  const { data, password } = cluster;
  const plan: Plan = {
    postgres: binaries.postgres,
    account,
    data,
    socketFolder: await socketFolder(home, account),
    logFile: join(folder, 'postgres.log'),
    durable,
    tcp,
    patienceMs,
  };

  const first = await reachServer(plan, password, { signal });
  const { address, joined } = first;
  const rolePassword = createHmac('sha256', password).update(NAME).digest('hex');
  try {
    await prepare(address, password, rolePassword);
    signal?.throwIfAborted();
  } catch (error) {
    await first.hold.release(() => shutDown(data)).catch(() => {});
    throw error;
  }
  log.info({ joined, ms: Math.round(performance.now() - started) }, 'embedded PostgreSQL is ready');

  const stop = keep(first, plan, password, log, bringBack ? onDead : null);
  const url = socketUrl(address, NAME, rolePassword);
  return { url: tcp ? url.replace(/@.*:/, '@127.0.0.1:') : url, stop };
}

/** Claims the server again whenever the claim is lost, and starts it where it died. Answers how to give it up. */
function keep(
  { hold: first }: Reached,
  plan: Plan,
  password: string,
  log: Log,
  onDead: ((error: StartError) => void) | null,
): () => Promise<void> {
  const stopping = new AbortController();
  let hold: Hold | undefined = first;
  let regaining = Promise.resolve();
  watch(first);

  function watch(held: Hold): void {
    void held.lost.then(() => {
      hold = undefined;
      if (onDead && !stopping.signal.aborted) regaining = regain(onDead);
    });
  }

  // A server whose sessions ended goes on after a crash of one of them: without claiming it again, another process would take itself
  // for the last one and stop it. One that died is started again.
  async function regain(tell: (error: StartError) => void): Promise<void> {
    log.warn({}, 'embedded PostgreSQL ended its sessions: joining it, or starting it again');
    try {
      const reached = await reachServer(plan, password, { patient: true, signal: stopping.signal });
      hold = reached.hold;
      watch(hold);
      log.info({ joined: reached.joined }, 'embedded PostgreSQL is back');
    } catch (error) {
      if (stopping.signal.aborted) return;
      const reason = error instanceof Error ? error.message.replaceAll(/\s*\n\s*/g, ' / ') : String(error);
      tell(new StartError(`The embedded PostgreSQL ended and could not be brought back. ${reason}`, { cause: error }));
    }
  }

  async function giveUp(): Promise<void> {
    stopping.abort();
    await regaining;
    try {
      if (hold) return await hold.release(() => shutDown(plan.data));
    } catch {
      // The claim was lost in that moment.
    }
    await abandon(plan, password);
  }

  let stopped: Promise<void> | undefined;
  return () => {
    stopped ??= giveUp().catch((error) => log.warn({ err: error }, 'embedded PostgreSQL could not be stopped'));
    return stopped;
  };
}

/**
 * The database and the account of the service: it owns the one and may create more, and is not a superuser. Its password is made of the
 * superuser's, which cannot be found from it.
 */
async function prepare(address: Address, password: string, rolePassword: string): Promise<void> {
  const client = administrator(address, password);
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [PREPARING]);
    const { rows } = await client.query(
      `select exists (select from pg_roles where rolname = $1) as role,
              exists (select from pg_database where datname = $1) as database`,
      [NAME],
    );
    const verb = rows[0].role ? 'alter' : 'create';
    await client.query(`${verb} role ${NAME} login createdb password ${client.escapeLiteral(rolePassword)}`);
    if (!rows[0].database) await client.query(`create database ${NAME} owner ${NAME}`);
  } finally {
    await client.end();
  }
}
