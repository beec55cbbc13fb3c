import type { Network } from '../src/destinations/network.ts';
import type { Database } from '../src/ledger/database.ts';
import type { Log } from '../src/log.ts';
import type { QueueBackend } from '../src/queue/backend.ts';
import type { LanePlans } from '../src/queue/lanes.ts';
import type { Vault } from '../src/secrets.ts';

/** What the loops work with. */
export interface Parts {
  db: Database;
  backend: QueueBackend;
  vault: Vault;
  network: Network;
  log: Log;
}

/** The lanes as the destinations stand now; kept current by one watcher, read by all loops. */
export interface LaneBook {
  plans: LanePlans;
  /** The lanes of all that spend from the same budget as this destination, its own included; but none that others share. */
  budgetLanes(destination: string): string[];
}
