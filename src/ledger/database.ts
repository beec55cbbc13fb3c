import pg from 'pg';

export type Database = pg.Pool;

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

/** Runs `work` in one transaction on one connection. Rolls back, and throws on, whatever it throws. */
export async function transaction<T>(db: Database, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
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

/**
 * True for an error that the server raised because of what it was asked (data, constraints, deadlocks), false when it could not be
 * reached, is shutting down or has no room. https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
export function isAboutStatement(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && /^(2[0-9A-Z]|4[024]|P0)[0-9A-Z]{3}$/.test(code);
}
