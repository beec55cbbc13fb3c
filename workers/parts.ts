import type { Network } from '../src/destinations/network.ts';
import type { Database } from '../src/ledger/database.ts';
import type { Log } from '../src/log.ts';
import type { QueueBackend } from '../src/queue/backend.ts';
import type { Vault } from '../src/secrets.ts';

/** What the loops work with. */
export interface Parts {
  db: Database;
  backend: QueueBackend;
  vault: Vault;
  network: Network;
  log: Log;
}
