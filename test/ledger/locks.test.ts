import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { gather } from '../../src/gather.ts';
import { claim } from '../../src/ledger/claim.ts';
import { isAboutItem, openDatabase } from '../../src/ledger/database.ts';
import { type Settlement, settle } from '../../src/ledger/settle.ts';
import {
  type Ledger,
  openLedger,
  putDestination,
  record,
  repeatable,
  row,
  stateOf,
  success,
  take,
} from '../support/ledger.ts';
import { until } from '../support/until.ts';

let ledger: Ledger;
let frozen: ReturnType<typeof openDatabase>;
let held: PoolClient | undefined;

beforeAll(async () => {
  ledger = await openLedger();
  frozen = openDatabase(ledger.url, { name: 'frozen' });
});
beforeEach(async () => {
  await putDestination(ledger.db, 'ops');
});
afterEach(async () => {
  await held?.query('rollback').catch(() => {});
  held?.release(true);
  held = undefined;
  await ledger.clear();
});
afterAll(async () => {
  await frozen.end();
  await ledger.close();
});

/** Another process that has locked a row, and stands still before its transaction ends; with `forever` nobody ends it either. */
async function freeze(table: 'deliveries' | 'broadcasts', id: string, { forever = true } = {}): Promise<void> {
  held = await frozen.connect();
  await held.query('begin');
  if (forever) await held.query('set local idle_in_transaction_session_timeout = 0');
  await held.query(`select from ${table} where id = $1 for update`, [id]);
}

const sessions = async () => {
  const { rowCount } = await ledger.db.query(
    `select from pg_stat_activity where application_name = 'frozen' and datname = current_database()`,
  );
  return rowCount;
};

test('a delivery that another session has locked is passed over, unspent, and those beside it are claimed', async () => {
  const locked = await record(ledger.db);
  const other = await record(ledger.db);
  await freeze('deliveries', locked.delivery);
  const claimed = await claim(ledger.db, [locked.delivery, other.delivery]);
  expect(claimed.map(({ id }) => id)).toEqual([other.delivery]);
  expect(await row(ledger.db, locked.delivery)).toMatchObject({ state: 'pending', attempt: 0, claims: 0 });
});

test('an outcome that meets a locked broadcast fails alone, and those beside it are settled', async () => {
  const settled: string[] = [];
  const settleOne = gather((all: Settlement[]) => settle(ledger.db, all), { width: 1, isItems: isAboutItem });
  const broadcasts = await Promise.all([record(ledger.db), record(ledger.db), record(ledger.db)]);
  const claims = await Promise.all(broadcasts.map(({ delivery }) => take(ledger.db, delivery)));
  const [, second] = broadcasts;
  await freeze('broadcasts', second?.id ?? '');
  const answers = claims.map(({ id, claim }) =>
    settleOne({ id, claim, outcome: success, rules: repeatable }).then(() => settled.push(id)),
  );
  const [first, locked, third] = await Promise.allSettled(answers);
  expect([first?.status, locked?.status, third?.status]).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(await stateOf(ledger.db, second?.delivery ?? '')).toBe('sending');
});

test('PostgreSQL ends a session that stands still within a transaction, and what it had locked goes on', async () => {
  const { delivery } = await record(ledger.db);
  await freeze('deliveries', delivery, { forever: false });
  await until('the session to end', async () => (await sessions()) === 0, { timeoutMs: 20_000 });
  await take(ledger.db, delivery);
});
