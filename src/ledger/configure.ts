import type pg from 'pg';
import { checkReferences } from './check-references.ts';
import { type Database, transaction } from './database.ts';

/** Any constant will do, as long as every Tocsin uses the same one. */
const lockKey = 7_062_027;

/**
 * One change of destinations and audiences: alone, because two changes that are each fine can make a circle of fallbacks
 * together; and refused as a whole when it would leave a reference to nothing.
 */
export function configure<T>(db: Database, change: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  return transaction(db, async (client) => {
    // Many changes at once are no reason to refuse any. Who waits here holds nothing, and who stands still in here is ended sooner.
    await client.query("set local lock_timeout = '20s'");
    await client.query('select pg_advisory_xact_lock($1)', [lockKey]);
    await client.query('set local lock_timeout to default');
    const result = await change(client);
    await checkReferences(client);
    // Without it the workers keep to a destination's old limits until they look again.
    await client.query(`select pg_notify('tocsin_destinations', '')`);
    return result;
  });
}
