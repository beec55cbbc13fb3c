import pg from 'pg';
import { SUPERUSER } from './cluster.ts';

// Advisory locks: USED is held, shared, by every process that uses the server; LEAVING makes those who leave take turns.
const USED = 7_463_001;
const LEAVING = 7_463_002;

/** Our claim on a running server: while we have it, nobody else stops the server. */
export interface Hold {
  /** Gives the claim up. Runs `last` first when nobody else has one, and keeps newcomers waiting until it is over. */
  release(last: () => Promise<void>): Promise<void>;
}

/**
 * Connects and claims. Rejects when the server does not answer, does not accept the password, or stops meanwhile.
 *
 * The claim lives in a session, so a process that is killed gives it up without doing anything.
 */
export async function holdServer(port: number, password: string, onLost: (error: Error) => void): Promise<Hold> {
  let releasing = false;
  let client = await connect();

  async function connect(): Promise<pg.Client> {
    const next = new pg.Client({
      host: '127.0.0.1',
      port,
      user: SUPERUSER,
      password,
      database: 'postgres',
      application_name: 'tocsin, holding the server',
      connectionTimeoutMillis: 10_000,
      ssl: false,
    });
    next.on('error', () => {}); // 'end' follows and is acted upon
    try {
      await next.connect();
      // Waits for one who is just stopping the server; then the connection ends with the server and this rejects.
      await next.query('select pg_advisory_lock_shared($1)', [USED]);
    } catch (error) {
      await next.end().catch(() => {});
      throw error;
    }
    next.once('end', () => void (releasing || regain()));
    return next;
  }

  // A crash of one backend makes PostgreSQL end every session and go on: without claiming again, another process would
  // take itself for the last one and stop the server under us.
  async function regain(): Promise<void> {
    onLost(new Error('the connection to the embedded PostgreSQL was lost'));
    while (!releasing) {
      try {
        client = await connect();
        if (releasing) await client.end();
        return;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 500).unref());
      }
    }
  }

  return {
    async release(last) {
      releasing = true;
      try {
        // In turns: two that leave at once would each see the other's claim, and both would leave the server running.
        await client.query('select pg_advisory_lock($1)', [LEAVING]);
        const { rows } = await client.query('select pg_try_advisory_lock($1) as alone', [USED]);
        if (rows[0]?.alone) await last();
        // Given up before the turn is: a session that ends drops its locks in no order, and the next would still see this one.
        else await client.query('select pg_advisory_unlock_shared($1)', [USED]);
      } finally {
        await client.end().catch(() => {});
      }
    },
  };
}
