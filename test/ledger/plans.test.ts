import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { accept } from '../../src/ledger/accept.ts';
import { type Claimed, claimDue } from '../../src/ledger/claim.ts';
import { type Database, openDatabase } from '../../src/ledger/database.ts';
import { findDue } from '../../src/ledger/due.ts';
import { escalateOverdue } from '../../src/ledger/escalate-overdue.ts';
import { holdStopped } from '../../src/ledger/hold-stopped.ts';
import { releaseStranded } from '../../src/ledger/release-stranded.ts';
import { retry } from '../../src/ledger/retry.ts';
import { settle } from '../../src/ledger/settle.ts';
import {
  failed,
  intent,
  type Ledger,
  letPass,
  openLedger,
  putDestination,
  repeatable,
  success,
} from '../support/ledger.ts';

// After a quiet week next to nothing may be open, and so PostgreSQL's statistics say. A plan that is
// made for nothing must not become quadratic in the first minute of a storm, before they are gathered again. What is counted is the
// rows that a verb reads, for each one that it is about.

const waiting = 800;
const batch = 100;
const most = 80;
const tables = ['deliveries', 'broadcasts', 'revisions', 'attempts'];

let ledger: Ledger;
/** One connection for everything: another one's counts would reach the server whenever that pleases. */
let db: Database;

beforeAll(async () => {
  ledger = await openLedger();
  db = openDatabase(ledger.url, { max: 1 });
  // It would gather true statistics in the middle of a test.
  for (const table of tables) await db.query(`alter table ${table} set (autovacuum_enabled = false)`);
});
beforeEach(async () => {
  await ledger.clear();
  for (const name of ['ops', 'chat']) await putDestination(db, name);
  await believeEmpty();
  await accept(
    db,
    Array.from({ length: waiting }, () => intent({ to: ['ops', 'chat'] })),
  );
  await believeEmpty();
});
afterAll(async () => {
  await db.end();
  await ledger.close();
});

/** What `analyze` says of a table that was emptied, but for a row at its end. */
async function believeEmpty(): Promise<void> {
  for (const table of tables) {
    await db.query(
      `select pg_restore_relation_stats('schemaname', current_schema()::text, 'relname', $1::text, 'relpages', 40, 'reltuples', 0::real)`,
      [table],
    );
  }
}

async function rowsRead(): Promise<number> {
  await db.query('select pg_stat_force_next_flush()');
  const { rows } = await db.query(
    'select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as n from pg_stat_user_tables',
  );
  return rows[0].n;
}

async function expectFew(about: number, work: () => Promise<number>): Promise<void> {
  const before = await rowsRead();
  expect(await work()).toBe(about);
  expect((await rowsRead()) - before).toBeLessThan(most * about);
}

async function claimed(): Promise<Claimed[]> {
  return (await claimDue(db, [{ destination: 'ops', places: batch, concurrency: batch, stepMs: null }])).claimed;
}

// PostgreSQL plans a prepared statement anew for its first runs, and keeps a general plan after that when it seems no worse.
describe.each(['force_custom_plan', 'force_generic_plan'])('under %s,', (mode) => {
  beforeAll(async () => void (await db.query(`set plan_cache_mode = ${mode}`)));

  test('accepting', () =>
    expectFew(batch, async () => {
      const intents = Array.from({ length: batch }, (_, n) => intent({ to: ['ops'], topic: `INC-${n}` }));
      return (await accept(db, intents)).length;
    }));

  test('claiming', () => expectFew(batch, async () => (await claimed()).length));

  test.each([
    ['successes', success],
    ['faults', failed('transient')],
  ])('settling %s', async (_, outcome) => {
    const settlements = (await claimed()).map((each) => ({
      id: each.id,
      claim: each.claim,
      outcome,
      rules: repeatable,
      claimed: each,
    }));
    await believeEmpty();
    await expectFew(batch, async () => (await settle(db, settlements)).filter(({ accepted }) => accepted).length);
  });

  test('settling failures that are told and go to a fallback', async () => {
    await putDestination(db, 'oncall');
    await db.query(`update destinations set fallback = 'oncall' where name = 'ops'`);
    await db.query('truncate broadcasts, revisions, deliveries, attempts');
    const events = ['delivery.dead', 'broadcast.updated', 'broadcast.converged'];
    const callback = { url: 'https://hooks.example.com/tocsin', events };
    await believeEmpty();
    await accept(
      db,
      Array.from({ length: waiting }, (_, n) => intent({ to: ['ops'], topic: `INC-${n}`, callback })),
    );
    const settlements = (await claimed()).map(({ id, claim }) => ({
      id,
      claim,
      outcome: failed('permanent'),
      rules: repeatable,
    }));
    await believeEmpty();
    await expectFew(batch, async () => (await settle(db, settlements)).filter(({ accepted }) => accepted).length);
  });

  test('settling many copies of one broadcast', async () => {
    const names = Array.from({ length: 2 * batch }, (_, n) => `place-${n}`);
    for (const name of names) await putDestination(db, name);
    await accept(db, [intent({ to: names })]);
    const lanes = names.map((destination) => ({ destination, places: 1, concurrency: 1, stepMs: null }));
    let copies: Claimed[] = [];
    await expectFew(2 * batch, async () => {
      copies = (await claimDue(db, lanes)).claimed;
      return copies.length;
    });
    const settlements = copies.map((each) => ({
      id: each.id,
      claim: each.claim,
      outcome: success,
      rules: repeatable,
      claimed: each,
    }));
    await expectFew(2 * batch, async () => (await settle(db, settlements)).filter(({ accepted }) => accepted).length);
  });

  test('retrying what is dead', async () => {
    const dead = (await claimed()).map((each) => ({
      id: each.id,
      claim: each.claim,
      outcome: failed('permanent'),
      rules: repeatable,
    }));
    await settle(db, dead);
    await believeEmpty();
    await expectFew(batch, () => retry(db, { states: ['dead'] }));
  });

  test('holding what is on its way to a stopped destination, and letting it go on', async () => {
    await db.query(`update destinations set paused_at = now(), pause_reason = 'maintenance' where name = 'ops'`);
    await expectFew(500, () => holdStopped(db, 500));
    await db.query('update destinations set paused_at = null, pause_reason = null');
    await believeEmpty();
    await expectFew(500, () => releaseStranded(db));
  });

  test('searching for what is due', async () => {
    await believeEmpty();
    await expectFew(2, async () => (await findDue(db)).length);
  });

  test('looking for what is to be escalated, when nothing is and when much is', async () => {
    await putDestination(db, 'oncall');
    await db.query(`update destinations set fallback = 'oncall' where name = 'ops'`);
    const before = await rowsRead();
    expect(await escalateOverdue(db, batch)).toBe(0);
    expect((await rowsRead()) - before).toBeLessThan(most);
    await letPass(db, 301);
    await believeEmpty();
    await expectFew(batch, () => escalateOverdue(db, batch));
  });
});
