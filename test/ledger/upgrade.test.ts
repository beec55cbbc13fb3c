import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/ledger/database.ts';
import { findDue } from '../../src/ledger/due.ts';
import { findLostAttempts } from '../../src/ledger/find-lost-attempts.ts';
import { listDeliveries } from '../../src/ledger/list-deliveries.ts';
import { readBroadcast } from '../../src/ledger/read-broadcast.ts';
import { readDelivery } from '../../src/ledger/read-delivery.ts';
import { retry } from '../../src/ledger/retry.ts';
import { revise } from '../../src/ledger/revise.ts';
import { tellEvents } from '../../src/ledger/tell-events.ts';
import {
  attempt,
  callbacks,
  failed,
  type Ledger,
  openLedger,
  putDestination,
  record,
  stateOf,
  success,
  take,
} from '../support/ledger.ts';

// While machines are upgraded one after the other, processes of the old version meet tables of the new one. PostgreSQL refuses a
// prepared statement whose columns have changed since.

let ledger: Ledger;
/** One connection, which has every statement prepared. */
let db: Database;

beforeAll(async () => {
  ledger = await openLedger();
  db = openDatabase(ledger.url, { max: 1 });
  await putDestination(db, 'oncall');
  await putDestination(db, 'ops', { fallback: 'oncall' });
  await putDestination(db, 'chat');
});
afterAll(async () => {
  await db.end();
  await ledger.close();
});

/** The life of a broadcast of which everything unusual becomes true: callbacks, cross-links, a topic, an escalation, an edit, a retry. */
async function live(): Promise<void> {
  const events = ['delivery.confirmed', 'delivery.dead', 'broadcast.updated', 'broadcast.converged'];
  const { id, deliveries } = await record(db, {
    to: ['ops', { name: 'chat', kind: 'slack' }],
    topic: 'INC-1',
    crossLink: true,
    callback: { url: 'https://hooks.example.com/tocsin', events },
  });
  const [ops = '', chat = ''] = deliveries;
  await attempt(db, chat, failed('rate_limited', { retryAfterMs: 1 }));
  await attempt(db, ops, failed('permanent'));
  await db.query('update deliveries set due_at = now() where id = $1', [chat]);
  await db.query('delete from budgets');
  await attempt(db, chat, success);
  for (const { id: callback, state } of await callbacks(db, id)) {
    if (state !== 'pending') continue;
    const claimed = await take(db, callback);
    if (claimed.event) await tellEvents(db, [{ ...claimed, event: claimed.event }]);
  }
  await revise(db, id, { title: 'P1: checkout is slow', severity: 'error' });
  await retry(db, { states: ['dead'] });
  await findDue(db);
  await findLostAttempts(db, 10);
  const all = { states: null, destination: null, broadcast: null, since: null, until: null };
  await listDeliveries(db, all, { limit: 10, after: null });
  await readDelivery(db, chat);
  expect((await readBroadcast(db, id))?.broadcast.revision).toBeGreaterThan(1);
  expect(await stateOf(db, chat)).not.toBe('dead');
  await db.query('delete from deliveries');
  await db.query('delete from broadcasts');
}

test('a process goes on working after a newer version has added a column to every table', async () => {
  await live();
  const { rows } = await db.query<{ name: string }>(
    `select format('%I', tablename) as name from pg_tables where schemaname = current_schema()`,
  );
  for (const { name } of rows) await db.query(`alter table ${name} add column of_a_newer_version text`);
  await live();
});
