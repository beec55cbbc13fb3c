import { countConnections } from '../src/ledger/connections.ts';
import { sparePostgresConnections } from '../src/queue/backend.ts';
import { StartError } from '../src/start-error.ts';
import type { Parts } from './parts.ts';

/** For the LISTENs of this process, and of an API in it, and for what that answers without a key. */
const beside = 4;

/**
 * On PostgreSQL every lane that a process works on holds a connection. Throws when the server could never hold that many, and warns
 * when it may run out: a lane without its connection would wait in silence.
 */
export async function assertConnections({ db, log }: Pick<Parts, 'db' | 'log'>, mostLanes: number): Promise<void> {
  const { most, taken } = await countConnections(db);
  const needed = mostLanes + sparePostgresConnections + (db.options.max ?? 10) + beside;
  const facts = `With ${mostLanes} lanes this process may need ${needed} connections to PostgreSQL`;
  const remedy = 'raise max_connections, lower TOCSIN_MAX_LANES, or give the lanes a Redis (REDIS_URL)';
  if (needed > most) throw new StartError(`${facts}, which allows ${most}: ${remedy}.`);
  if (taken + needed > most) log.warn({ needed, taken, most }, `${facts}, which has ${most - taken} left: ${remedy}`);
}
