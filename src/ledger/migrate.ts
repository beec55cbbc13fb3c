import { readdir, readFile } from 'node:fs/promises';
import type { QueryConfig, QueryResult } from 'pg';
import { StartError } from '../start-error.ts';
import { type Database, isLockTimeout, transaction } from './database.ts';

const folder = new URL('./migrations/', import.meta.url);
/** Any constant will do, as long as every Tocsin uses the same one. */
const lockKey = 7_062_026;

/** Another session holds a table that a migration changes, as a backup does. It may end by itself: `migrate` may be tried again. */
export class BlockedMigration extends StartError {
  override name = 'BlockedMigration';
}

/**
 * Everybody who comes after a migration that waits for a table waits behind it. It gives up so soon, and they get their turn before
 * it is tried again.
 */
const lockWait = '2s';
/** What is told to the driver in place of no limit, in milliseconds. */
const noLimit = 2 ** 31 - 1;

/**
 * Brings the database to the newest schema. Racing starters queue behind one advisory lock; each migration and its version row
 * commit together, so a kill in between leaves nothing half done. Throws when the database is newer than this code, and a
 * BlockedMigration when another session stands in its way.
 */
export async function migrate(db: Database): Promise<void> {
  try {
    await applyMissing(db);
  } catch (error) {
    throw isLockTimeout(error) ? await blocked(db, error) : error;
  }
}

async function applyMissing(db: Database): Promise<void> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  await transaction(db, async (client) => {
    // The pool's limits are for short statements. Another starter may migrate for long, and so may we.
    const patiently = (text: string) => client.query({ text, query_timeout: noLimit } as QueryConfig);
    await patiently('set local statement_timeout = 0; set local lock_timeout = 0');
    await patiently(`select pg_advisory_xact_lock(${lockKey})`);
    await patiently(`set local lock_timeout = '${lockWait}'`);
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
    if (applied.has('002-changes.sql')) await forgetForeignChanges(patiently);
    for (const name of files) {
      if (applied.has(name)) continue;
      await client.query('insert into migrations (name) values ($1)', [name]);
      await patiently(await readFile(new URL(name, folder), 'utf8'));
    }
  });
}

async function blocked(db: Database, cause: unknown): Promise<BlockedMigration> {
  const { rows } = await db.query<{ pid: number; application: string; since: Date }>(
    `select a.pid, a.application_name as application, a.xact_start as since
       from pg_stat_activity a
      where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start is not null
        and exists (select from pg_locks l where l.pid = a.pid and l.locktype = 'relation' and l.granted)
      order by a.xact_start limit 1`,
  );
  const [oldest] = rows;
  const who = oldest && `pid ${oldest.pid}, "${oldest.application}", at work since ${oldest.since.toISOString()}`;
  return new BlockedMigration(
    `Another session holds tables that the upgrade of the database has to change (${who ?? 'it has just ended'}): ` +
      'let it end, as a backup does, or end it, and start again.',
    { cause },
  );
}

/**
 * A dump brings its stamps of transactions along. Where the server it was restored into has not come that far, they would count as news
 * one by one over the next weeks. No row that can be seen bears the number of a transaction to come, so that this finds nothing otherwise.
 */
async function forgetForeignChanges(patiently: (text: string) => Promise<QueryResult>): Promise<void> {
  const foreign = ['deliveries', 'broadcasts', 'destinations'].map(
    (table) => `exists (select from ${table} where changed_in >= pg_snapshot_xmax(pg_current_snapshot()))`,
  );
  const { rows } = await patiently(`select ${foreign.join(' or ')} as foreign`);
  if (rows[0]?.foreign) await patiently('select forget_changes()');
}
