import { readdir, readFile } from 'node:fs/promises';
import type { PoolClient } from 'pg';
import { StartError } from '../start-error.ts';
import { type Database, transaction } from './database.ts';

const folder = new URL('./migrations/', import.meta.url);
/** Any constant will do, as long as every Tocsin uses the same one. */
const lockKey = 7_062_026;

/**
 * Brings the database to the newest schema. Racing starters queue behind one advisory lock; each migration and its version row
 * commit together, so a kill in between leaves nothing half done. Throws when the database is newer than this code.
 */
export async function migrate(db: Database): Promise<void> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  await transaction(db, async (client) => {
    await client.query('select pg_advisory_xact_lock($1)', [lockKey]);
    await client.query(`create table if not exists migrations (
      name text primary key, applied_at timestamptz not null default now())`);
    const { rows } = await client.query<{ name: string }>('select name from migrations');
    const applied = new Set(rows.map(({ name }) => name));
    const unknown = [...applied].filter((name) => !files.includes(name));
    if (unknown.length > 0) {
      throw new StartError(
        `The database has migrations that this version does not know (${unknown.join(', ')}): upgrade Tocsin.`,
      );
    }
    if (applied.has('002-changes.sql')) await forgetForeignChanges(client);
    for (const name of files) {
      if (applied.has(name)) continue;
      await client.query('insert into migrations (name) values ($1)', [name]);
      await client.query(await readFile(new URL(name, folder), 'utf8'));
    }
  });
}

/**
 * A dump brings its stamps of transactions along. Where the server it was restored into has not come that far, they would count as news
 * one by one over the next weeks. No row that can be seen bears the number of a transaction to come, so that this finds nothing otherwise.
 */
async function forgetForeignChanges(client: PoolClient): Promise<void> {
  const foreign = ['deliveries', 'broadcasts', 'destinations'].map(
    (table) => `exists (select from ${table} where changed_in >= pg_snapshot_xmax(pg_current_snapshot()))`,
  );
  const { rows } = await client.query<{ foreign: boolean }>(`select ${foreign.join(' or ')} as foreign`);
  if (rows[0]?.foreign) await client.query('select forget_changes()');
}
