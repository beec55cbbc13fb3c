import pg from 'pg';
import type { Address } from './address.ts';
import { SUPERUSER } from './cluster.ts';

// Advisory locks: USED is held, shared, by every process that uses the server; LEAVING makes those who leave take turns.
const USED = 7_463_001;
const LEAVING = 7_463_002;

/** Our claim on a running server: while we have it, nobody else stops the server. */
export interface Hold {
  /** Resolves when the claim is lost: the server died, or ended its sessions because one of them crashed. */
  lost: Promise<void>;
  /** Gives the claim up. Runs `last` first when nobody else has one, and keeps newcomers waiting until it is over. */
  release(last: () => Promise<void>): Promise<void>;
}

/** A session of the superuser, whom only this folder's own code uses. */
export function administrator({ folder, port }: Address, password: string): pg.Client {
  const client = new pg.Client({
    host: folder,
    port,
    user: SUPERUSER,
    password,
    database: 'postgres',
    application_name: 'tocsin, holding the server',
    connectionTimeoutMillis: 10_000,
    ssl: false,
  });
  client.on('error', () => {}); // 'end' follows and is acted upon
  return client;
}

/**
 * Connects and claims. Rejects when the server does not answer, does not accept the password, or stops meanwhile.
 *
 * The claim lives in a session, so a process that is killed gives it up without doing anything.
 */
export async function holdServer(address: Address, password: string): Promise<Hold> {
  const client = administrator(address, password);
  let releasing = false;
  const { promise: lost, resolve: lose } = Promise.withResolvers<void>();
  client.once('end', () => {
    if (!releasing) lose();
  });
  try {
    await client.connect();
    // Waits for one who is just stopping the server; then the connection ends with the server and this rejects.
    await client.query('select pg_advisory_lock_shared($1)', [USED]);
  } catch (error) {
    await client.end().catch(() => {});
    throw error;
  }

  return {
    lost,
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
