import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { claimDue, type Lane } from '../../src/ledger/claim.ts';
import { transaction } from '../../src/ledger/database.ts';
import { dueChannel, findDue, notifyDue } from '../../src/ledger/due.ts';
import { measureBacklog } from '../../src/ledger/measure-backlog.ts';
import { revise } from '../../src/ledger/revise.ts';
import {
  attempt,
  failed,
  type Ledger,
  letPass,
  openLedger,
  putDestination,
  record,
  row,
  take,
} from '../support/ledger.ts';

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

const lane = (destination: string, places = 10, more: Partial<Lane> = {}): Lane => ({
  destination,
  places,
  concurrency: 10,
  stepMs: null,
  ...more,
});
const claimAt = async (...lanes: Lane[]) => (await claimDue(ledger.db, lanes)).claimed.map(({ id }) => id);

describe('claiming what is due', () => {
  test('takes the most urgent first, then what has waited longest, and only as many as there are places', async () => {
    const calm = await record(ledger.db);
    const later = await record(ledger.db);
    const urgent = await record(ledger.db, { message: { title: 'Down', severity: 'critical' } });
    expect((await claimAt(lane('ops', 2))).sort()).toEqual([calm.delivery, urgent.delivery].sort());
    expect(await claimAt(lane('ops', 2))).toEqual([later.delivery]);
  });

  test('takes from several destinations in one statement, each up to its own places', async () => {
    for (let n = 0; n < 3; n++) await record(ledger.db, { to: ['ops', 'chat'] });
    const { claimed } = await claimDue(ledger.db, [lane('ops', 1), lane('chat', 2)]);
    expect(claimed.map(({ destination }) => destination).sort()).toEqual(['chat', 'chat', 'ops']);
  });

  test('gives each delivery to one of two processes that claim at once', async () => {
    for (let n = 0; n < 20; n++) await record(ledger.db);
    const shares = await Promise.all([claimAt(lane('ops')), claimAt(lane('ops')), claimAt(lane('ops'))]);
    const all = shares.flat();
    expect(new Set(all).size).toBe(all.length);
  });

  test('never has more in flight at a destination than its concurrency, over all processes', async () => {
    for (let n = 0; n < 5; n++) await record(ledger.db);
    expect(await claimAt(lane('ops', 10, { concurrency: 3 }))).toHaveLength(3);
    expect(await claimAt(lane('ops', 10, { concurrency: 3 }))).toEqual([]);
    expect(await claimAt(lane('ops', 10, { concurrency: 4 }))).toHaveLength(1);
  });

  test('keeps to the steps of a rate limit, over all processes', async () => {
    for (let n = 0; n < 4; n++) await record(ledger.db);
    const paced = lane('ops', 1, { stepMs: 60_000 });
    const shares = await Promise.all([claimAt(paced), claimAt(paced), claimAt(paced)]);
    expect(shares.flat()).toHaveLength(1);
    expect(await claimAt(paced)).toEqual([]);
    await letPass(ledger.db, 60);
    expect(await claimAt(paced)).toHaveLength(1);
  });

  test('spends no step of a rate limit when nothing is due', async () => {
    const paced = lane('ops', 1, { stepMs: 60_000 });
    expect(await claimAt(paced)).toEqual([]);
    const { delivery } = await record(ledger.db);
    expect(await claimAt(paced)).toEqual([delivery]);
  });

  test('passes over what another transaction has locked, without waiting for it', async () => {
    const locked = await record(ledger.db);
    const free = await record(ledger.db);
    await transaction(ledger.db, async (client) => {
      await client.query('select from deliveries where id = $1 for update', [locked.delivery]);
      expect(await claimAt(lane('ops'))).toEqual([free.delivery]);
    });
    expect(await claimAt(lane('ops'))).toEqual([locked.delivery]);
  });

  test('holds what a pause stands before, and takes nothing', async () => {
    const { delivery } = await record(ledger.db);
    await ledger.db.query(`update destinations set paused_at = now(), pause_reason = 'maintenance'`);
    expect(await claimAt(lane('ops'))).toEqual([]);
    expect(await row(ledger.db, delivery)).toMatchObject({ state: 'held', hold: 'paused' });
  });

  test('leaves a destination alone while a rate limit of its credential stands, and writes nothing', async () => {
    const limited = await record(ledger.db);
    await attempt(ledger.db, limited.delivery, failed('rate_limited', { retryAfterMs: 60_000 }));
    const { delivery } = await record(ledger.db);
    const before = await row(ledger.db, delivery);
    expect(await claimAt(lane('ops'))).toEqual([]);
    expect(await row(ledger.db, delivery)).toEqual(before);
  });
});

describe('searching for what is due', () => {
  test('names each destination once, however much is due there, and none with nothing due', async () => {
    await record(ledger.db);
    await record(ledger.db);
    const retried = await record(ledger.db, { to: ['chat'] });
    await attempt(ledger.db, retried.delivery, failed('transient'));
    expect((await findDue(ledger.db)).map(({ destination }) => destination)).toEqual(['ops']);
    await letPass(ledger.db, 60);
    expect((await findDue(ledger.db)).map(({ destination }) => destination)).toEqual(['chat', 'ops']);
  });

  test('tells how late the most overdue delivery is', async () => {
    await record(ledger.db);
    await letPass(ledger.db, 60);
    await record(ledger.db);
    const [found] = await findDue(ledger.db);
    expect(found?.lateMs).toBeGreaterThanOrEqual(60_000);
  });

  test('tells whether anything is in flight there', async () => {
    const { delivery } = await record(ledger.db);
    await record(ledger.db);
    expect(await findDue(ledger.db)).toMatchObject([{ destination: 'ops', idle: true }]);
    await take(ledger.db, delivery);
    expect(await findDue(ledger.db)).toMatchObject([{ destination: 'ops', idle: false }]);
  });

  test('leaves out what is in flight, held or final, and what a rate limit stops', async () => {
    const { delivery } = await record(ledger.db);
    await take(ledger.db, delivery);
    expect(await findDue(ledger.db)).toEqual([]);
    const limited = await record(ledger.db, { to: ['chat'] });
    await attempt(ledger.db, limited.delivery, failed('rate_limited', { retryAfterMs: 60_000 }));
    await record(ledger.db, { to: ['chat'] });
    expect(await findDue(ledger.db)).toEqual([]);
  });
});

describe('a notification', () => {
  async function heard(work: () => Promise<unknown>): Promise<string | undefined> {
    const client = await ledger.db.connect();
    try {
      await client.query(`listen ${dueChannel}`);
      const said = new Promise<string | undefined>((resolve) =>
        client.once('notification', ({ payload }) => resolve(payload)),
      );
      await work();
      return await said;
    } finally {
      await client.query('unlisten *');
      client.release();
    }
  }

  test('names the destinations at which something became due', async () => {
    expect(await heard(() => record(ledger.db, { to: ['ops', 'chat'] }))).toBe('chat\nops');
  });

  test('names nothing when the names are too many for it: everybody looks', async () => {
    const names = Array.from({ length: 500 }, (_, n) => `a-rather-long-name-${n}`);
    expect(await heard(() => notifyDue(ledger.db, names))).toBe('');
  });

  test('comes with a new revision of what waits', async () => {
    const { id } = await record(ledger.db);
    expect(await heard(() => revise(ledger.db, id, { title: 'Better', severity: 'info' }))).toBe('ops');
  });
});

test('the backlog of a destination is what is due there', async () => {
  await record(ledger.db);
  await record(ledger.db);
  const { delivery } = await record(ledger.db, { to: ['chat'] });
  await attempt(ledger.db, delivery, failed('transient'));
  expect(await measureBacklog(ledger.db)).toEqual(new Map([['ops', 2]]));
});
