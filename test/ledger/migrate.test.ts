import { expect, test } from 'vitest';
import { openDatabase } from '../../src/ledger/database.ts';
import { migrate } from '../../src/ledger/migrate.ts';
import { freshDatabase } from '../support/database.ts';

async function withDatabases(count: number, work: (pools: ReturnType<typeof openDatabase>[]) => Promise<void>) {
  const database = await freshDatabase();
  const pools = Array.from({ length: count }, () => openDatabase(database.url, { max: 2 }));
  try {
    await work(pools);
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
    await database.drop();
  }
}

/** As on the first day: nothing there at all. */
async function empty(pool: ReturnType<typeof openDatabase>): Promise<void> {
  await pool.query('drop schema public cascade');
  await pool.query('create schema public');
}

test('ten processes that start at once on an empty database all find it migrated, once', async () => {
  await withDatabases(10, async (pools) => {
    const [first] = pools as [(typeof pools)[0]];
    await empty(first);
    await Promise.all(pools.map((pool) => migrate(pool)));
    const { rows } = await first.query('select name from migrations order by name');
    expect(rows[0]).toEqual({ name: '001-ledger.sql' });
    expect(new Set(rows.map(({ name }) => name)).size).toBe(rows.length);
    await expect(first.query('select from deliveries')).resolves.toMatchObject({ rowCount: 0 });
  });
});

test('a migrated database is left as it is', async () => {
  await withDatabases(1, async (pools) => {
    const [pool] = pools as [(typeof pools)[0]];
    const before = await pool.query('table migrations');
    await migrate(pool);
    expect((await pool.query('table migrations')).rows).toEqual(before.rows);
  });
});

test('a migration that fails leaves nothing behind, and the next start does it all', async () => {
  await withDatabases(1, async (pools) => {
    const [pool] = pools as [(typeof pools)[0]];
    await empty(pool);
    await pool.query('create table budgets ()');
    await expect(migrate(pool)).rejects.toThrow(/already exists/);
    expect((await pool.query(`select to_regclass('migrations') as it`)).rows).toEqual([{ it: null }]);
    await pool.query('drop table budgets');
    await migrate(pool);
    expect((await pool.query('table migrations')).rowCount).toBeGreaterThan(0);
  });
});

test('a database that a newer version has migrated is refused, and says what to do', async () => {
  await withDatabases(1, async (pools) => {
    const [pool] = pools as [(typeof pools)[0]];
    await pool.query(`insert into migrations (name) values ('999-tomorrow.sql')`);
    await expect(migrate(pool)).rejects.toThrow(/999-tomorrow\.sql.*upgrade Tocsin/);
  });
});

test('an upgrade that another session stands in the way of lets everybody else on, says who it is, and is made later', async () => {
  await withDatabases(2, async (pools) => {
    const [pool, backup] = pools as [(typeof pools)[0], (typeof pools)[0]];
    await pool.query(
      `alter table destinations drop column place; alter table deliveries drop column place;
       delete from migrations where name = '006-places.sql'`,
    );
    const reader = await backup.connect();
    await reader.query('begin; set local idle_in_transaction_session_timeout = 0; select from destinations');
    await reader.query(`set application_name = 'backup'`);
    await expect(migrate(pool)).rejects.toThrow(/Another session holds.*"backup".*let it end/);
    // Nobody waits behind it any more.
    await pool.query('select from destinations');
    await reader.query('commit');
    reader.release();
    await migrate(pool);
    expect((await pool.query('select place from destinations')).rowCount).toBe(0);
  });
});
