import pg from 'pg';
import { expect, test } from 'vitest';
import { freshDatabase } from './database.ts';

async function query(url: string, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}

test('each one is migrated, and none sees what another does', async () => {
  const [one, other] = await Promise.all([freshDatabase(), freshDatabase()]);
  try {
    const migrated = 'select count(*)::int as n from migrations';
    expect((await query(one.url, migrated)).rows[0].n).toBeGreaterThan(0);
    await query(one.url, 'create table mine ()');
    await expect(query(other.url, 'table mine')).rejects.toThrow(/does not exist/);
  } finally {
    await one.drop();
    await other.drop();
  }
});

test('dropping ends the connections that a test forgot', async () => {
  const database = await freshDatabase();
  const forgotten = new pg.Client({ connectionString: database.url });
  const ended = new Promise((resolve) => forgotten.once('end', resolve));
  forgotten.on('error', () => {});
  await forgotten.connect();
  await database.drop();
  await ended;
  await expect(query(database.url, 'select 1')).rejects.toThrow(/does not exist/);
});
