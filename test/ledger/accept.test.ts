import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { accept } from '../../src/ledger/accept.ts';
import {
  dueNow,
  end,
  type GivenIntent,
  intent,
  type Ledger,
  one,
  openLedger,
  putDestination,
  record,
  row,
  stateOf,
  take,
} from '../support/ledger.ts';

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  await putDestination(ledger.db, 'ops');
  await putDestination(ledger.db, 'oncall');
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

async function counts() {
  return one(
    ledger.db,
    `select (select count(*)::int from broadcasts) as broadcasts, (select count(*)::int from revisions) as revisions,
            (select count(*)::int from deliveries) as deliveries, (select count(*)::int from deliveries where due_at <= now()) as due`,
  );
}

describe('an accepted broadcast', () => {
  test('is there with its text and its deliveries, which are due', async () => {
    const wanted = intent({
      to: ['ops', { name: 'oncall', required: false, maxAttempts: 7 }],
      metadata: { team: 'a' },
    });
    expect(await accept(ledger.db, [wanted])).toEqual([
      { id: wanted.id, is: 'recorded', createdAt: expect.any(Date), held: {} },
    ]);
    expect(await counts()).toEqual({ broadcasts: 1, revisions: 1, deliveries: 2, due: 2 });
    expect(await one(ledger.db, 'select state, revision, severity, metadata from broadcasts')).toEqual({
      state: 'converging',
      revision: 1,
      severity: 'info',
      metadata: { team: 'a' },
    });
    expect(await one(ledger.db, 'select revision, message, retracted from revisions')).toEqual({
      revision: 1,
      message: wanted.message,
      retracted: false,
    });
    const [first = '', second = ''] = wanted.deliveries.map(({ id }) => id);
    expect(await row(ledger.db, first)).toMatchObject({ state: 'pending', destination: 'ops', required: true });
    expect(await row(ledger.db, second)).toMatchObject({
      state: 'pending',
      destination: 'oncall',
      required: false,
      max_attempts: 7,
      attempt: 0,
      desired: 1,
      confirmed: 0,
    });
    expect(await dueNow(ledger.db)).toEqual([first, second].sort());
  });

  test('is recorded whole or not at all', async () => {
    const wanted = intent({ to: ['ops', 'ops'], idempotencyKey: 'k' });
    await expect(accept(ledger.db, [wanted])).rejects.toThrow(/deliveries_once_per_destination/);
    expect(await counts()).toEqual({ broadcasts: 0, revisions: 0, deliveries: 0, due: 0 });
    // And its key is not burnt.
    const again = intent({ idempotencyKey: 'k' });
    expect(await accept(ledger.db, [again])).toEqual([
      { id: again.id, is: 'recorded', createdAt: expect.any(Date), held: {} },
    ]);
  });

  test('tells the workers that something is due', async () => {
    const client = await ledger.db.connect();
    try {
      const heard = new Promise((resolve) => client.once('notification', ({ channel }) => resolve(channel)));
      await client.query('listen tocsin_due');
      await record(ledger.db);
      expect(await heard).toBe('tocsin_due');
    } finally {
      await client.query('unlisten *');
      client.release();
    }
  });
});

describe('an idempotency key', () => {
  const asked = (title: string, key = 'deploy-42') => intent({ title, idempotencyKey: key });

  test('with the same request answers with the broadcast it already stands for, and records nothing', async () => {
    const first = asked('one');
    await accept(ledger.db, [first]);
    const before = await counts();
    expect(await accept(ledger.db, [asked('one')])).toEqual([{ id: first.id, is: 'replayed' }]);
    expect(await counts()).toEqual(before);
  });

  test('with another request is a conflict, and records nothing', async () => {
    const first = asked('one');
    await accept(ledger.db, [first]);
    const before = await counts();
    expect(await accept(ledger.db, [asked('two')])).toEqual([{ id: first.id, is: 'conflict' }]);
    expect(await counts()).toEqual(before);
  });

  test('still stands for its broadcast when that is long over', async () => {
    const first = asked('one');
    await accept(ledger.db, [first]);
    for (const { id } of first.deliveries) await end(ledger.db, id, 'confirmed');
    expect(await accept(ledger.db, [asked('one')])).toEqual([{ id: first.id, is: 'replayed' }]);
  });

  test('used by ten at the same instant makes one broadcast, and all ten hear of that one', async () => {
    const all = Array.from({ length: 10 }, () => asked('one'));
    const answers = (await Promise.all(all.map((each) => accept(ledger.db, [each])))).flat();
    expect(answers.filter(({ is }) => is === 'recorded')).toHaveLength(1);
    expect(answers.filter(({ is }) => is === 'replayed')).toHaveLength(9);
    expect(new Set(answers.map(({ id }) => id)).size).toBe(1);
    expect(await counts()).toEqual({ broadcasts: 1, revisions: 1, deliveries: 1, due: 1 });
  });

  test('used twice within one batch makes one broadcast too', async () => {
    const [first, same, other] = [asked('one'), asked('one'), asked('two')];
    const stranger = asked('one', 'deploy-43');
    expect(await accept(ledger.db, [first, same, other, stranger])).toEqual([
      { id: first.id, is: 'recorded', createdAt: expect.any(Date), held: {} },
      { id: first.id, is: 'replayed' },
      { id: first.id, is: 'conflict' },
      { id: stranger.id, is: 'recorded', createdAt: expect.any(Date), held: {} },
    ]);
    expect(await counts()).toEqual({ broadcasts: 2, revisions: 2, deliveries: 2, due: 2 });
  });

  test('that is missing never makes two broadcasts one', async () => {
    const answers = await accept(ledger.db, [intent(), intent()]);
    expect(answers.map(({ is }) => is)).toEqual(['recorded', 'recorded']);
  });
});

describe('a broadcast that was resolved from what is not so any more', () => {
  const versionOf = async (table: 'destinations' | 'audiences', name: string) =>
    Number((await ledger.db.query(`select version from ${table} where name = $1`, [name])).rows[0].version);
  const change = (name: string) =>
    ledger.db.query(`update destinations set settings = '{"url": "https://else.example.com"}' where name = $1`, [name]);
  const resolved = async (name: string, given: GivenIntent = {}) => {
    const version = await versionOf('destinations', name);
    const wanted = intent({ to: [name], ...given });
    return { ...wanted, deliveries: wanted.deliveries.map((each) => ({ ...each, version })) };
  };

  test('is not recorded, and the others of its batch are', async () => {
    const [stale, fine] = [await resolved('ops'), await resolved('oncall')];
    await change('ops');
    const newer = await resolved('ops');
    expect(await accept(ledger.db, [stale, fine, newer])).toEqual([
      { id: stale.id, is: 'stale' },
      { id: fine.id, is: 'recorded', createdAt: expect.any(Date), held: {} },
      { id: newer.id, is: 'recorded', createdAt: expect.any(Date), held: {} },
    ]);
    expect(await counts()).toEqual({ broadcasts: 2, revisions: 2, deliveries: 2, due: 2 });
  });

  test('is not recorded when only one of its destinations is gone', async () => {
    const wanted = await resolved('ops');
    const [mine] = wanted.deliveries;
    const gone = {
      ...intent().deliveries[0],
      destination: 'oncall',
      version: await versionOf('destinations', 'oncall'),
    };
    await ledger.db.query(`delete from destinations where name = 'oncall'`);
    const both = { ...wanted, deliveries: [mine, gone] } as typeof wanted;
    expect(await accept(ledger.db, [both])).toEqual([{ id: both.id, is: 'stale' }]);
    expect(await counts()).toEqual({ broadcasts: 0, revisions: 0, deliveries: 0, due: 0 });
  });

  test('is not recorded when its audience has changed', async () => {
    await ledger.db.query(`insert into audiences (name, destinations) values ('team', '{ops}')`);
    const audience = { name: 'team', version: await versionOf('audiences', 'team') };
    const wanted = await resolved('ops', { audience });
    expect(await accept(ledger.db, [wanted])).toMatchObject([{ is: 'recorded' }]);
    await ledger.db.query(`update audiences set destinations = '{ops, oncall}'`);
    expect(await accept(ledger.db, [await resolved('ops', { audience })])).toMatchObject([{ is: 'stale' }]);
    await ledger.db.query('delete from audiences');
    expect(await accept(ledger.db, [await resolved('ops', { audience })])).toMatchObject([{ is: 'stale' }]);
  });

  test('is recorded when its destination was only stopped', async () => {
    const wanted = await resolved('ops');
    await ledger.db.query(`update destinations set paused_at = now(), pause_reason = 'by hand', faults = 2`);
    const held = { [wanted.deliveries[0]?.id ?? '']: 'paused' };
    expect(await accept(ledger.db, [wanted])).toMatchObject([{ is: 'recorded', held }]);
  });

  test('stands for the broadcast that its idempotency key already has', async () => {
    const first = await resolved('ops', { idempotencyKey: 'k' });
    await accept(ledger.db, [first]);
    const again = await resolved('ops', { idempotencyKey: 'k' });
    await change('ops');
    expect(await accept(ledger.db, [again])).toEqual([{ id: first.id, is: 'replayed' }]);
  });
});

test('a broadcast whose deadline has passed is not recorded, and the others of its batch are', async () => {
  const late = intent({ expiresAt: new Date(0) });
  const fine = intent({ expiresAt: new Date(Date.now() + 3_600_000) });
  expect(await accept(ledger.db, [late, fine])).toEqual([
    { id: late.id, is: 'late' },
    { id: fine.id, is: 'recorded', createdAt: expect.any(Date), held: {} },
  ]);
  expect(await counts()).toMatchObject({ broadcasts: 1, deliveries: 1 });
});

describe('a topic', () => {
  test('that is still busy at a destination holds the next broadcast there, and only there', async () => {
    const first = await record(ledger.db, { topic: 'INC-1', to: ['ops'] });
    const second = await record(ledger.db, { topic: 'INC-1', to: ['ops', 'oncall'] });
    const [atOps = '', atOncall = ''] = second.deliveries;
    expect(await row(ledger.db, atOps)).toMatchObject({ state: 'held', hold: 'topic', due_at: null });
    expect(await stateOf(ledger.db, atOncall)).toBe('pending');
    expect(await dueNow(ledger.db)).toEqual([first.delivery, atOncall].sort());
  });

  test('of another name holds nothing', async () => {
    await record(ledger.db, { topic: 'INC-1' });
    expect(await stateOf(ledger.db, (await record(ledger.db, { topic: 'INC-2' })).delivery)).toBe('pending');
    expect(await stateOf(ledger.db, (await record(ledger.db)).delivery)).toBe('pending');
  });

  test('whose last broadcast is over holds nothing', async () => {
    await end(ledger.db, (await record(ledger.db, { topic: 'INC-1' })).delivery, 'dead');
    expect(await stateOf(ledger.db, (await record(ledger.db, { topic: 'INC-1' })).delivery)).toBe('pending');
  });

  test('recorded twice within one batch is put in order when the second one is claimed', async () => {
    const [first, second] = [intent({ topic: 'INC-1' }), intent({ topic: 'INC-1' })];
    await accept(ledger.db, [first, second]);
    const ids = [...first.deliveries, ...second.deliveries].map(({ id }) => id);
    const { rows } = await ledger.db.query('select id from deliveries order by seq');
    const [earlier, later] = rows.map(({ id }) => id as string) as [string, string];
    expect([earlier, later].sort()).toEqual([...ids].sort());
    await expect(take(ledger.db, later)).rejects.toThrow(/held/);
    await take(ledger.db, earlier);
  });
});
