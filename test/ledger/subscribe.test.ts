import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/ledger/database.ts';
import { type Subscription, subscribe } from '../../src/ledger/subscribe.ts';
import { type FreshDatabase, freshDatabase } from '../support/database.ts';
import { type ChaosProxy, startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

let database: FreshDatabase;
let line: ChaosProxy;
let db: Database;
let subscription: Subscription;
let heard: string[];
let missed: number;

beforeEach(async () => {
  database = await freshDatabase();
  const { hostname, port } = new URL(database.url);
  line = await startProxy({ host: hostname, port: Number(port || 5432) });
  const through = new URL(database.url);
  through.host = `127.0.0.1:${line.port}`;
  db = openDatabase(database.url, { max: 1 });
  [heard, missed] = [[], 0];
  subscription = subscribe(through.href, { news: (payload) => heard.push(payload) }, () => missed++, {
    everyMs: 50,
    answerMs: 500,
  });
  await until('it to listen', () => missed === 1);
});
afterEach(async () => {
  await subscription.close();
  await line.close();
  await db.end();
  await database.drop();
});

test('a connection that went silent is noticed and replaced, and what may have been missed meanwhile is told', async () => {
  // Neither side is told that the other is gone: only who asks notices.
  line.swallow();
  await db.query(`notify news, 'unheard'`);
  await until('it to listen again', () => missed === 2);
  await db.query(`notify news, 'heard'`);
  await until('it to hear', () => heard.length > 0);
  expect(heard).toEqual(['heard']);
});

test('a connection that was ended is replaced', async () => {
  await db.query(`select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tocsin-listen'
                  and datname = current_database()`);
  await until('it to listen again', () => missed === 2);
});
