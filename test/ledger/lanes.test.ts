import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { claimDue, type Lane } from '../../src/ledger/claim.ts';
import { transaction } from '../../src/ledger/database.ts';
import { findDue } from '../../src/ledger/due.ts';
import { retry } from '../../src/ledger/retry.ts';
import { end, type Ledger, letPass, openLedger, putDestination, record, row, take } from '../support/ledger.ts';

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  await putDestination(ledger.db, 'ops');
  await putDestination(ledger.db, 'chat');
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

const lane = (destination: string, more: Partial<Lane> = {}): Lane => ({
  destination,
  places: 10,
  concurrency: 10,
  stepMs: null,
  ...more,
});
const claimAt = async (...lanes: Lane[]) => (await claimDue(ledger.db, lanes)).claimed.map(({ id }) => id);
const setPace = (destination: string, nextAt: string) =>
  ledger.db.query(
    `insert into paces values ($1, ${nextAt}) on conflict (destination) do update set next_at = excluded.next_at`,
    [destination],
  );

describe('the limits of a destination', () => {
  test.each([1, 3])('of %i at once holds over processes that claim at the same instant', async (concurrency) => {
    for (let round = 0; round < 25; round++) {
      const name = `hot-${round}`;
      await putDestination(ledger.db, name);
      for (let n = 0; n < 8; n++) await record(ledger.db, { to: [name] });
      const most = lane(name, { places: concurrency, concurrency });
      const shares = await Promise.all(Array.from({ length: 4 }, () => claimAt(most)));
      expect(shares.flat().length).toBeGreaterThan(0);
      expect(shares.flat().length).toBeLessThanOrEqual(concurrency);
    }
  });

  test('are free again when the lease of an attempt is over, though nobody has settled it', async () => {
    await take(ledger.db, (await record(ledger.db)).delivery);
    const waiting = await record(ledger.db);
    const single = lane('ops', { concurrency: 1 });
    expect(await claimAt(single)).toEqual([]);
    await letPass(ledger.db, 60);
    expect(await claimAt(single)).toEqual([waiting.delivery]);
  });

  test('no step of a rate limit is spent on what is held instead of sent', async () => {
    const [first, second] = [await record(ledger.db, { topic: 'INC-1' }), await record(ledger.db, { topic: 'INC-1' })];
    for (const { delivery } of [first, second]) await end(ledger.db, delivery, 'dead');
    await retry(ledger.db, { states: ['dead'] });
    const other = await record(ledger.db);
    const paced = lane('ops', { places: 1, stepMs: 60_000 });
    expect(await claimAt(paced)).toEqual([first.delivery]);
    await letPass(ledger.db, 60);
    expect(await claimAt(paced)).toEqual([]);
    expect(await row(ledger.db, second.delivery)).toMatchObject({ state: 'held', hold: 'topic' });
    expect(await claimAt(paced)).toEqual([other.delivery]);
  });

  test('a rate limit that was much slower before, or a clock that was set back, makes nothing wait longer than a step', async () => {
    const { delivery } = await record(ledger.db);
    await setPace('ops', `now() + interval '1 hour'`);
    expect(await claimAt(lane('ops', { places: 1, stepMs: 1_000 }))).toEqual([delivery]);
    await record(ledger.db);
    expect(await claimAt(lane('ops', { places: 1, stepMs: 1_000 }))).toEqual([]);
  });

  test('a session that stands still in a claim of one destination keeps back that destination alone', async () => {
    await setPace('ops', 'now()');
    const stuck = await record(ledger.db);
    const free = await record(ledger.db, { to: ['chat'] });
    const paced = lane('ops', { places: 1, stepMs: 1_000 });
    await transaction(ledger.db, async (client) => {
      await client.query(`select from paces where destination = 'ops' for no key update`);
      expect(await claimAt(paced, lane('chat'))).toEqual([free.delivery]);
    });
    expect(await claimAt(paced)).toEqual([stuck.delivery]);
  });
});

describe('how late a destination is', () => {
  test('counts from the next step of its rate limit', async () => {
    await record(ledger.db);
    await letPass(ledger.db, 60);
    await setPace('ops', `now() - interval '1 second'`);
    expect((await findDue(ledger.db))[0]?.lateMs).toBeLessThan(30_000);
  });

  test('counts from the end of what its service asked it to wait', async () => {
    await record(ledger.db);
    await letPass(ledger.db, 60);
    await ledger.db.query(`insert into budgets values ('to ops', now() - interval '1 second')`);
    expect((await findDue(ledger.db))[0]?.lateMs).toBeLessThan(30_000);
  });

  test('does not count an attempt whose lease is over as in flight', async () => {
    await take(ledger.db, (await record(ledger.db)).delivery);
    await record(ledger.db);
    await letPass(ledger.db, 60);
    expect(await findDue(ledger.db)).toMatchObject([{ destination: 'ops', idle: true }]);
  });
});
