import { setTimeout as delay } from 'node:timers/promises';
import type { PoolClient } from 'pg';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { accept } from '../../src/ledger/accept.ts';
import type { Database } from '../../src/ledger/database.ts';
import type { Loop } from '../../workers/loop.ts';
import type { Parts } from '../../workers/parts.ts';
import { sweep } from '../../workers/sweep.ts';
import {
  intent,
  type Ledger,
  letPass,
  one,
  openLedger,
  putDestination,
  record,
  stateOf,
  take,
} from '../support/ledger.ts';
import { until } from '../support/until.ts';

let ledger: Ledger;
let sweeping: Loop | undefined;
let asked: string[];

beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(async () => {
  await sweeping?.stop();
  await ledger.clear();
});
afterAll(() => ledger.close());

/** Sweeps, with this before each statement and transaction; `asked` are the statements. */
function begin(before: (statement: string) => Promise<void>): void {
  asked = [];
  const intercepted = new Proxy(ledger.db, {
    get(pool, key) {
      if (key === 'connect') return () => before('a transaction').then(async () => overheard(await pool.connect()));
      if (key !== 'query') return Reflect.get(pool, key);
      return async (query: string | { text: string }, values?: unknown[]) => {
        const text = typeof query === 'string' ? query : query.text;
        asked.push(text);
        await before(text);
        return pool.query(query as string, values);
      };
    },
  }) as Database;
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  sweeping = sweep({ db: intercepted, log } as unknown as Parts);
}

/** A connection whose statements are noted too. */
function overheard(client: PoolClient): PoolClient {
  return new Proxy(client, {
    get(target, key) {
      const member = Reflect.get(target, key);
      if (key !== 'query') return typeof member === 'function' ? member.bind(target) : member;
      return (query: string | { text: string }, ...rest: unknown[]) => {
        asked.push(typeof query === 'string' ? query : query.text);
        return member.call(target, query, ...rest);
      };
    },
  });
}

/** Held by a breaker that had just closed. */
async function strand(): Promise<string> {
  const { delivery } = await record(ledger.db);
  await ledger.db.query(`update deliveries set state = 'held', hold = 'breaker', due_at = null`);
  return delivery;
}

test('a search that keeps failing keeps none of the others from their turn', async () => {
  await putDestination(ledger.db, 'ops');
  const delivery = await strand();
  begin(async (statement) => {
    if (statement.includes('with stopped')) throw new Error('it takes too long');
  });
  await until('it to be released', async () => (await stateOf(ledger.db, delivery)) === 'pending', {
    timeoutMs: 5_000,
  });
});

test('what is held in the very moment in which a breaker closes does not wait for searches that rest', async () => {
  await putDestination(ledger.db, 'ops');
  // What takes so long rests for half a minute.
  begin((statement) => delay(statement === 'a transaction' ? 200 : 0));
  await until('a round', () => asked.filter((text) => text.includes('with stopped')).length > 1);
  const delivery = await strand();
  await until('it to be released', async () => (await stateOf(ledger.db, delivery)) === 'pending', {
    timeoutMs: 5_000,
  });
  expect(asked.filter((text) => text.includes('min(seq)'))).toHaveLength(1);
});

test('a backlog is let go chunk by chunk: its destination may stop again', async () => {
  await putDestination(ledger.db, 'ops');
  await ledger.db.query(`update destinations set breaker_until = now() + interval '1 hour'`);
  await accept(
    ledger.db,
    Array.from({ length: 1_500 }, () => intent()),
  );
  await ledger.db.query('update destinations set breaker_until = null');
  begin(async () => {});
  const held = () => one<{ n: number }>(ledger.db, `select count(*)::int as n from deliveries where state = 'held'`);
  await until('the first chunk', async () => (await held()).n < 1_500);
  const began = performance.now();
  await until('the last', async () => (await held()).n === 0);
  expect(performance.now() - began).toBeGreaterThan(1_000);
});

test('a lost attempt that another session has locked keeps back none of the others', async () => {
  await putDestination(ledger.db, 'ops');
  const [locked, other] = [await record(ledger.db), await record(ledger.db)];
  for (const { delivery } of [locked, other]) await take(ledger.db, delivery);
  await letPass(ledger.db, 60);
  const frozen = await ledger.db.connect();
  try {
    await frozen.query('begin; set local idle_in_transaction_session_timeout = 0');
    await frozen.query('select from broadcasts where id = $1 for update', [locked.id]);
    begin(async () => {});
    await until('the other one to go on', async () => (await stateOf(ledger.db, other.delivery)) === 'retrying');
    expect(await stateOf(ledger.db, locked.delivery)).toBe('sending');
  } finally {
    await frozen.query('rollback');
    frozen.release();
  }
  await until('it to go on as well', async () => (await stateOf(ledger.db, locked.delivery)) === 'retrying');
});

test('a lost attempt of a kind that this process does not know is left to one that does', async () => {
  await putDestination(ledger.db, 'newer', { kind: 'carrier-pigeon' });
  await putDestination(ledger.db, 'ops');
  const unknown = await record(ledger.db, { to: [{ name: 'newer', kind: 'carrier-pigeon' }] });
  const known = await record(ledger.db);
  for (const { delivery } of [unknown, known]) await take(ledger.db, delivery);
  await letPass(ledger.db, 60);
  begin(async () => {});
  await until('the known one to go on', async () => (await stateOf(ledger.db, known.delivery)) === 'retrying');
  expect(await stateOf(ledger.db, unknown.delivery)).toBe('sending');
});
