import { setTimeout as pause } from 'node:timers/promises';
import type { Config } from './config.ts';
import { createNetwork, type Network } from './destinations/network.ts';
import { type Database, openDatabase } from './ledger/database.ts';
import { migrate } from './ledger/migrate.ts';
import type { Log } from './log.ts';
import { createVault, loadSecretKey, type Vault } from './secrets.ts';

/** How long a starting process waits for its database, in milliseconds: machines start in any order. */
const patienceMs = 60_000;

/** What every Tocsin process needs, whichever part of the work it does. */
export interface Opened {
  databaseUrl: string;
  db: Database;
  vault: Vault;
  network: Network;
  close(): Promise<void>;
}

/** Opens the ledger (the embedded one where none is configured), brings it up to date, and loads the key that opens secrets. */
export async function open(config: Config, log: Log): Promise<Opened> {
  const embedded = config.databaseUrl === null ? await startEmbedded(config.dataDir, log) : null;
  const databaseUrl = config.databaseUrl ?? embedded?.url ?? '';
  const db = openDatabase(databaseUrl);
  try {
    await migrateWhenReachable(db, log);
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
async function startEmbedded(dataDir: string, log: Log) {
  const { startEmbeddedDatabase } = await import('./ledger/embedded.ts');
  return startEmbeddedDatabase(dataDir, log);
}

async function migrateWhenReachable(db: Database, log: Log): Promise<void> {
  const giveUpAt = performance.now() + patienceMs;
  for (;;) {
    try {
      return await migrate(db);
    } catch (error) {
      if (!isUnreachable(error) || performance.now() > giveUpAt) throw error;
      log.warn({ reason: (error as Error).message }, 'the database cannot be reached yet; trying again');
      await pause(1_000);
    }
  }
}

function isUnreachable(error: unknown): boolean {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  // Classes 08 and 57P: the connection broke, or the server is starting up or going down. The others never got that far.
  return (
    /^(08|57P)/.test(code) ||
    /^E(CONNREFUSED|NOTFOUND|AI_AGAIN|TIMEDOUT|CONNRESET|PIPE)$/.test(code) ||
    /timeout|terminated/i.test(message)
  );
}
