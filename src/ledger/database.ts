import pg from 'pg';
import { keepAliveInitialDelayMillis, sessionLimits } from '../session-limits.ts';

export type Database = pg.Pool;

/**
 * Every statement here finds its few rows by an index. Plans are kept per connection, and one that was made while the tables were small
 * would go on to read them whole when they have grown a hundredfold, until statistics are next gathered.
 *
 * For the same reason rows are looked up by keys, `= any(array(…))` or a lateral with `offset 0`, and not by joins. Little is due when
 * nothing happens, and a join that is planned for nothing compares everything with everything once something does
 * (test/ledger/plans.test.ts).
 */
const plans = '-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off';

/**
 * Who waits longer for a lock gives up and comes again: whoever holds it may stand still. Below the ten seconds after which such a
 * session ends, so that a wait is told (`isLockTimeout`) and what does not need the locked row goes on.
 */
const lockTimeout = '-c lock_timeout=3s';

/** The pool of the ledger. Timestamps come as Dates, counts as numbers. */
export function openDatabase(
  url: string,
  { max = 20, name = 'tocsin' }: { max?: number; name?: string } = {},
): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: name,
    connectionTimeoutMillis: 5_000,
    // A server that vanished without a word must not hold a caller for longer than a person would wait.
    statement_timeout: 30_000,
    query_timeout: 35_000,
    keepAlive: true,
    keepAliveInitialDelayMillis,
    options: `${plans} ${sessionLimits} ${lockTimeout}`,
  });
  outliveBrokenConnections(pool);
  return pool;
}

/**
 * A connection that breaks tells whoever waits for its answer, and is replaced. When nobody waits it emits an error, from the pool
 * while idle and from the client while checked out between two statements; without a listener that would end the process.
 */
export function outliveBrokenConnections(pool: pg.Pool): void {
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
}

/** A transaction that lost a deadlock is run again this often: with the other one gone it nearly always gets through. */
const reruns = 3;

/**
 * Runs `work` in one transaction on one connection. Rolls back, and throws on, whatever it throws; but runs it again when
 * PostgreSQL broke a deadlock at its expense, so `work` must leave nothing behind outside the database.
 */
export async function transaction<T>(db: Database, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  for (let rerun = 0; ; rerun++) {
    try {
      return await once(db, work);
    } catch (error) {
      if (rerun === reruns || !isDeadlock(error)) throw error;
    }
  }
}

function isDeadlock(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === '40P01' || code === '40001';
}

async function once<T>(db: Database, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await db.connect();
  let broken: Error | undefined;
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((rollbackError: Error) => {
      broken = rollbackError;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}

/** SQLSTATEs of a server that could not be reached, refused the login, is short of room, waited too long, is read-only, or is shutting down. */
const passing = /^(08|25|28|53|55|57|58)/;

/**
 * True for an error that comes from what was asked: data, constraints, deadlocks, limits, or a value that our own code cannot write.
 * False when the server could not be reached or has no room, so that the same may succeed later.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function isAboutStatement(error: unknown): boolean {
  if (error instanceof RangeError || error instanceof TypeError) return true;
  const { code } = (error ?? {}) as { code?: unknown };
  // Errors of sockets have codes too, and those of the driver's own timeouts have none.
  return typeof code === 'string' && /^[0-9A-DF-Z][0-9A-Z]{4}$/.test(code) && !passing.test(code);
}

/** True when another session held a lock for longer than we wait. Nothing was changed, and the same may be asked again. */
export function isLockTimeout(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === '55P03';
}

/** True when one item of a batch may be the reason that the whole batch failed: the others get through without it. */
export function isAboutItem(error: unknown): boolean {
  return isAboutStatement(error) || isLockTimeout(error);
}

/**
 * Text as PostgreSQL can hold it: it has no room for NUL and unpaired surrogates, and answers of services are quoted in what is
 * written. One binary error page would otherwise keep its outcome from ever being written.
 * https://www.postgresql.org/docs/current/datatype-json.html
 */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd');
}

/** A value as a jsonb parameter, all its text storable. */
export function jsonb(value: unknown): string {
  return JSON.stringify(value, (_, member) => (typeof member === 'string' ? storable(member) : member));
}
