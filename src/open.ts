import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from './config.ts';
import { prepareDataFolder } from './data-folder.ts';
import { createNetwork, type Network } from './destinations/network.ts';
import { type Database, openDatabase } from './ledger/database.ts';
import { BlockedMigration, migrate } from './ledger/migrate.ts';
import type { Log } from './log.ts';
import { createVault, loadSecretKey, type Vault } from './secrets.ts';
import { StartError } from './start-error.ts';

/** How long a starting process waits for its database, in milliseconds: machines start in any order. */
const patience = 60_000;

/** What every Tocsin process needs, whichever part of the work it does. */
export interface Opened {
  databaseUrl: string;
  db: Database;
  vault: Vault;
  network: Network;
  close(): Promise<void>;
}

export interface OpenOptions {
  patienceMs?: number;
  /** Ends the opening; nothing of it stays behind. */
  signal?: AbortSignal;
  /** Told when the ledger is gone for good. */
  fail?: (error: Error) => void;
}

/**
 * Opens the ledger (the embedded one where none is configured), brings it up to date, and loads the key that opens secrets. Throws a
 * StartError for what a person has to mend.
 */
export async function open(config: Config, log: Log, options: OpenOptions = {}): Promise<Opened> {
  return assemble(config, log, options).catch((error) => {
    throw explained(error, config);
  });
}

async function assemble(config: Config, log: Log, options: OpenOptions): Promise<Opened> {
  if (config.databaseUrl === null || config.secretKey === null) await prepareDataFolder(config.dataDir);
  const embedded = config.databaseUrl === null ? await startEmbedded(config.dataDir, log, options) : null;
  const databaseUrl = config.databaseUrl ?? embedded?.url ?? '';
  const db = openDatabase(databaseUrl);
  try {
    await migrateWhenReachable(db, log, options);
    const vault = createVault(await loadSecretKey(config));
    const network = createNetwork({ allowPrivateNetworks: config.allowPrivateNetworks });
    const close = async () => {
      await network.close();
      await db.end();
      await embedded?.stop();
    };
    return { databaseUrl, db, vault, network, close };
  } catch (error) {
    await db.end();
    await embedded?.stop();
    throw error;
  }
}

/** Loaded only when it is needed: images without the optional dependency never ask for it. */
async function startEmbedded(dataDir: string, log: Log, { signal, fail }: OpenOptions) {
  const { startEmbeddedDatabase } = await import('./ledger/embedded.ts');
  return startEmbeddedDatabase(dataDir, log, { signal, onDead: fail });
}

async function migrateWhenReachable(
  db: Database,
  log: Log,
  { patienceMs = patience, signal }: OpenOptions,
): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  for (;;) {
    try {
      return await migrate(db);
    } catch (error) {
      const isBlocked = error instanceof BlockedMigration;
      if ((!isBlocked && !isUnreachable(error)) || performance.now() > giveUpAt) throw error;
      const what = isBlocked ? 'upgraded' : 'reached';
      log.warn({ reason: reasonOf(error) }, `the database cannot be ${what} yet; trying again`);
      // Who queued up behind a blocked upgrade gets on in between.
      await pause(isBlocked ? 4_000 : 1_000, undefined, { signal });
    }
  }
}

function isUnreachable(error: unknown): boolean {
  const { code = '', syscall = '', message = '' } = error as { code?: string; syscall?: string; message?: string };
  // Classes 08 and 57P: the connection broke, or the server is starting up or going down. The others never got that far.
  return (
    /^(08|57P)/.test(code) ||
    (code === 'ENOENT' && syscall === 'connect') ||
    /^E(CONNREFUSED|NOTFOUND|AI_AGAIN|TIMEDOUT|CONNRESET|PIPE)$/.test(code) ||
    /timeout|terminated/i.test(message)
  );
}

/** Several addresses of one name fail together, and then only the code says why. */
function reasonOf(error: unknown): string {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  return message || code;
}

/** What a person has to mend about the database or the data folder, told without the password in a URL; anything else as it is. */
function explained(error: unknown, { databaseUrl, dataDir }: Config): unknown {
  const { code = '', path = '' } = error as { code?: string; path?: string };
  if (/^(EACCES|EPERM|EROFS|ENOTDIR|EEXIST)$/.test(code) && path.startsWith(dataDir)) {
    const remedy = 'set TOCSIN_DATA to a folder that this user may write to';
    return new StartError(`The data folder ${dataDir} cannot be used (${code} at ${path}): ${remedy}.`, {
      cause: error,
    });
  }
  if (databaseUrl === null) return error;
  const { host = '', pathname = '' } = URL.parse(databaseUrl) ?? {};
  const fails = (what: string) =>
    new StartError(`The database ${host}${pathname} of DATABASE_URL ${what}`, { cause: error });
  if (/^28/.test(code)) return fails('refuses the user or password: correct them there, or in PostgreSQL.');
  if (code === '3D000') return fails('does not exist: create it, or correct its name.');
  if (code === '42501') return fails('does not let its user create tables: make the user its owner.');
  if (!isUnreachable(error)) return error;
  return fails(`cannot be reached (${reasonOf(error)}): start it, or correct the address.`);
}
