import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { transaction } from '../../src/ledger/database.ts';
import { measureBacklog } from '../../src/ledger/measure-backlog.ts';
import { release } from '../../src/ledger/release.ts';
import { retry } from '../../src/ledger/retry.ts';
import { ringOverdue } from '../../src/ledger/ring-overdue.ts';
import { dropRings, putBackRings, takeRings } from '../../src/ledger/take-rings.ts';
import { ring } from '../../src/ledger/write-deliveries.ts';
import {
  claimOne,
  clearRings,
  end,
  type Ledger,
  letPass,
  openLedger,
  putDestination,
  record,
  rings,
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

const taken = async (limit = 10, full: string[] = [], shut: string[] = []) =>
  (await takeRings(ledger.db, limit, full, shut)).map(({ id }) => id);

describe('rings', () => {
  test('are taken most urgent first, then oldest first, and only so many', async () => {
    const calm = await record(ledger.db);
    const later = await record(ledger.db);
    const urgent = await record(ledger.db, { message: { title: 'Down', severity: 'critical' } });
    expect(await takeRings(ledger.db, 2, [])).toEqual([
      { id: urgent.delivery, destination: 'ops', priority: 1, hurry: false, again: false },
      { id: calm.delivery, destination: 'ops', priority: 4, hurry: false, again: false },
    ]);
    expect(await taken()).toEqual([later.delivery]);
  });

  test('leave those out whose lane is full, but for what is critical', async () => {
    const { deliveries } = await record(ledger.db, { to: ['ops', 'chat'] });
    const urgent = await record(ledger.db, { message: { title: 'Down', severity: 'critical' } });
    expect(await taken(10, ['ops'])).toEqual([urgent.delivery, deliveries[1]]);
    expect(await taken(10)).toEqual([deliveries[0]]);
  });

  test('leave everything out whose lane is shut', async () => {
    const { deliveries } = await record(ledger.db, {
      to: ['ops', 'chat'],
      message: { title: 'Down', severity: 'critical' },
    });
    expect(await taken(10, [], ['ops'])).toEqual([deliveries[1]]);
  });

  test('of one destination with a backlog leave room for the others', async () => {
    for (let n = 0; n < 120; n++) await record(ledger.db, { to: ['ops'] });
    const { delivery } = await record(ledger.db, { to: ['chat'] });
    expect(await taken(101)).toContain(delivery);
  });

  test('are shared out among relays that take at once, each to one of them', async () => {
    for (let n = 0; n < 30; n++) await record(ledger.db);
    const shares = await Promise.all([taken(10), taken(10), taken(10)]);
    const all = [...shares.flat(), ...(await taken(30))];
    expect(all).toHaveLength(30);
    expect(new Set(all).size).toBe(30);
  });
});

test('a ring that is repeated is no backlog: its delivery mostly waits in a slow lane; one that a person asks for is', async () => {
  const { delivery } = await record(ledger.db);
  expect(await measureBacklog(ledger.db)).toEqual(new Map([['ops', 1]]));
  await clearRings(ledger.db);
  await letPass(ledger.db, 60);
  expect(await ringOverdue(ledger.db, 10)).toBe(1);
  expect(await rings(ledger.db)).toEqual([delivery]);
  expect(await measureBacklog(ledger.db)).toEqual(new Map());
  await transaction(ledger.db, (client) => ring(client, [delivery]));
  expect(await measureBacklog(ledger.db)).toEqual(new Map([['ops', 1]]));
});

describe('a ring that was taken', () => {
  test('is invisible, and comes back by itself when whoever took it died', async () => {
    const { delivery } = await record(ledger.db);
    expect(await taken()).toEqual([delivery]);
    expect(await taken()).toEqual([]);
    await letPass(ledger.db, 29);
    expect(await taken()).toEqual([]);
    await letPass(ledger.db, 2);
    expect(await taken()).toEqual([delivery]);
  });

  test('goes when the queue has it', async () => {
    const { delivery } = await record(ledger.db);
    await dropRings(ledger.db, await taken());
    expect(await rings(ledger.db)).not.toContain(delivery);
  });

  test('comes back soon when the queue would not have it', async () => {
    const { delivery } = await record(ledger.db);
    await putBackRings(ledger.db, await taken());
    expect(await taken()).toEqual([]);
    await letPass(ledger.db, 2);
    expect(await taken()).toEqual([delivery]);
  });

  test('stays when it was put again meanwhile: the queue may have had it and be done with it', async () => {
    const { delivery } = await record(ledger.db);
    const ids = await taken();
    await end(ledger.db, delivery, 'dead');
    await retry(ledger.db, { states: ['dead'], id: delivery });
    await dropRings(ledger.db, ids);
    expect(await taken()).toEqual([delivery]);
  });

  test('stays when the delivery was held and released meanwhile', async () => {
    const { delivery } = await record(ledger.db);
    const ids = await taken();
    await ledger.db.query(`update destinations set paused_at = now(), pause_reason = 'maintenance'`);
    expect(await claimOne(ledger.db, delivery)).toMatchObject({ state: 'held' });
    await ledger.db.query('update destinations set paused_at = null, pause_reason = null');
    await transaction(ledger.db, (client) => release(client, { destination: 'ops', hold: 'paused' }));
    await dropRings(ledger.db, ids);
    expect(await taken()).toEqual([delivery]);
  });
});
