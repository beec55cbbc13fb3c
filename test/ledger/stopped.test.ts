import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { holdStopped } from '../../src/ledger/hold-stopped.ts';
import { releaseStranded } from '../../src/ledger/release-stranded.ts';
import { sendProbes } from '../../src/ledger/send-probes.ts';
import {
  attempt,
  claimOne,
  dueNow,
  failed,
  type Ledger,
  letPass,
  openLedger,
  putDestination,
  record,
  row,
  success,
  take,
  verifiable,
} from '../support/ledger.ts';

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  await putDestination(ledger.db, 'ops');
  await putDestination(ledger.db, 'well');
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

const stops = {
  paused: `paused_at = now(), pause_reason = 'maintenance'`,
  breaker: `breaker_until = now() + interval '1 minute'`,
};
const goes = { paused: 'paused_at = null, pause_reason = null', breaker: 'breaker_until = null, probe = null' };
const reasons = ['paused', 'breaker'] as const;

async function set(change: string): Promise<void> {
  await ledger.db.query(`update destinations set ${change} where name = 'ops'`);
}

describe.each(reasons)('with a destination stopped (%s)', (hold) => {
  test('what is accepted for it is held from the start and never due; the others go', async () => {
    await set(stops[hold]);
    const { deliveries } = await record(ledger.db, { to: ['ops', 'well'] });
    const [ops = '', well = ''] = deliveries;
    expect(await row(ledger.db, ops)).toMatchObject({ state: 'held', hold, due_at: null });
    expect(await dueNow(ledger.db)).toEqual([well]);
  });

  test('what is on its way to it is held without passing through the queue', async () => {
    const waiting = [await record(ledger.db), await record(ledger.db), await record(ledger.db)];
    const { delivery: well } = await record(ledger.db, { to: ['well'] });
    await set(stops[hold]);
    expect(await holdStopped(ledger.db, 2)).toBe(2);
    expect(await holdStopped(ledger.db, 2)).toBe(1);
    expect(await holdStopped(ledger.db, 2)).toBe(0);
    for (const { delivery } of waiting) expect(await row(ledger.db, delivery)).toMatchObject({ state: 'held', hold });
    expect(await dueNow(ledger.db)).toEqual([well]);
  });

  test('all of it goes on when the reason is gone', async () => {
    const before = await record(ledger.db);
    await set(stops[hold]);
    await holdStopped(ledger.db, 10);
    const since = await record(ledger.db);
    await set(goes[hold]);
    expect(await releaseStranded(ledger.db)).toBe(2);
    expect(await dueNow(ledger.db)).toEqual([before.delivery, since.delivery].sort());
    for (const { delivery } of [before, since]) await attempt(ledger.db, delivery, success);
  });

  test('what may have landed is not held: it is to be looked for', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 10);
    await set(stops[hold]);
    expect(await holdStopped(ledger.db, 10)).toBe(0);
    expect(await row(ledger.db, delivery)).toMatchObject({ state: 'verifying' });
  });
});

test('the probe of a half-open breaker is not held', async () => {
  await set(`breaker_until = now() - interval '1 second'`);
  const { delivery } = await record(ledger.db);
  expect(await sendProbes(ledger.db)).toBe(1);
  expect(await holdStopped(ledger.db, 10)).toBe(0);
  await take(ledger.db, delivery);
});

test('what is stopped and behind its topic goes on in its turn', async () => {
  await set(stops.paused);
  const first = await record(ledger.db, { topic: 'INC-1' });
  const second = await record(ledger.db, { topic: 'INC-1' });
  await set(goes.paused);
  await releaseStranded(ledger.db);
  expect(await claimOne(ledger.db, second.delivery)).toBeNull();
  expect(await row(ledger.db, second.delivery)).toMatchObject({ state: 'held', hold: 'topic' });
  await attempt(ledger.db, first.delivery, success);
  expect(await dueNow(ledger.db)).toEqual([second.delivery]);
});
