import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { measure, mostCounted } from '../../src/ledger/measure.ts';
import { attempt, end, failed, type Ledger, openLedger, putDestination, record, take } from '../support/ledger.ts';

let ledger: Ledger;
beforeAll(async () => {
  ledger = await openLedger();
});
afterAll(() => ledger.close());
beforeEach(async () => {
  await ledger.clear();
  await putDestination(ledger.db, 'ops');
});

/** As many deliveries more of a broadcast, as they would be after failing. */
async function fail(broadcastId: string, n: number, columns: { role: string; destination: string }): Promise<void> {
  await ledger.db.query(
    `insert into deliveries (id, broadcast_id, role, destination, kind, event, required, priority, max_attempts, state, ended_at)
     select $1 || g, $2, $3, replace($4, '*', g::text), 'x', case when $3 = 'callback' then '{"type": "broadcast.converged"}'::jsonb end,
            false, 1, 1, 'dead', now() from generate_series(1, $5) g`,
    [`dl_${columns.role}_`, broadcastId, columns.role, columns.destination, n],
  );
}

test('what is open or failed is counted by destination and state, and what is confirmed is not', async () => {
  await record(ledger.db);
  for (const state of ['dead', 'unknown', 'confirmed'] as const)
    await end(ledger.db, (await record(ledger.db)).delivery, state);
  await ledger.db.query(`update destinations set paused_at = now(), pause_reason = 'test'`);
  await record(ledger.db);
  const { deliveries, stopped } = await measure(ledger.db);
  expect(Object.fromEntries(deliveries.map(({ destination, state, n }) => [`${destination} ${state}`, n]))).toEqual({
    'ops pending': 1,
    'ops held': 1,
    'ops dead': 1,
    'ops unknown': 1,
  });
  expect(stopped).toEqual([{ destination: 'ops', by: 'paused' }]);
});

test('callbacks count together, however many hosts clients name', async () => {
  const { id } = await record(ledger.db);
  await fail(id, 300, { role: 'callback', destination: 'callback:h*.example' });
  const { deliveries } = await measure(ledger.db);
  expect(deliveries.filter(({ destination }) => destination !== 'ops')).toEqual([
    { destination: 'callback', state: 'dead', n: 300 },
  ]);
});

test('however many failed, counting ends at its bound', async () => {
  const first = (await record(ledger.db)).id;
  await ledger.db.query(
    `insert into broadcasts (id, severity, correlation_id, metadata)
     select 'bc_' || g, 'info', 'x', '{}' from generate_series(1, $1) g`,
    [mostCounted + 10],
  );
  await ledger.db.query(
    `insert into deliveries (id, broadcast_id, destination, kind, required, priority, max_attempts, state, ended_at)
     select 'dl_many_' || g, 'bc_' || g, 'ops', 'x', true, 1, 1, 'dead', now() from generate_series(1, $1) g`,
    [mostCounted + 10],
  );
  await fail(first, 10, { role: 'callback', destination: 'callback:h*.example' });
  const { deliveries } = await measure(ledger.db);
  expect(deliveries.filter(({ state }) => state === 'dead')).toEqual(
    expect.arrayContaining([
      { destination: 'ops', state: 'dead', n: mostCounted },
      { destination: 'callback', state: 'dead', n: 10 },
    ]),
  );
});

test('the oldest open delivery that waits for no person has its age told', async () => {
  expect((await measure(ledger.db)).oldestOpenSeconds).toBe(0);
  const age = (id: string, seconds: number) =>
    ledger.db.query(`update deliveries set created_at = now() - $2 * interval '1 second' where id = $1`, [id, seconds]);
  const [paused, behind] = [await record(ledger.db), await record(ledger.db)];
  await age(paused.delivery, 9_000);
  await age(behind.delivery, 5_000);
  const hold = `update deliveries set state = 'held', due_at = null, hold = $2 where id = $1`;
  await ledger.db.query(hold, [paused.delivery, 'paused']);
  await ledger.db.query(hold, [behind.delivery, 'breaker']);
  const { delivery } = await record(ledger.db);
  await age(delivery, 1_000);
  expect((await measure(ledger.db)).oldestOpenSeconds).toBeCloseTo(5_000, -2);
  await ledger.db.query(`delete from deliveries where id = $1`, [behind.delivery]);
  expect((await measure(ledger.db)).oldestOpenSeconds).toBeCloseTo(1_000, -2);
});

test('what waits for its turn is counted, and not what is in flight, held or to be tried later', async () => {
  for (let n = 0; n < 2; n++) await record(ledger.db);
  await take(ledger.db, (await record(ledger.db)).delivery);
  await attempt(ledger.db, (await record(ledger.db)).delivery, failed('transient'));
  const { delivery } = await record(ledger.db);
  await ledger.db.query(`update deliveries set state = 'held', due_at = null, hold = 'paused' where id = $1`, [
    delivery,
  ]);
  expect((await measure(ledger.db)).due).toBe(2);
});
