import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { expireOverdue } from '../../src/ledger/expire-overdue.ts';
import { findLostAttempts } from '../../src/ledger/find-lost-attempts.ts';
import { releaseStranded } from '../../src/ledger/release-stranded.ts';
import { releaseTopics } from '../../src/ledger/release-topics.ts';
import { sendProbes } from '../../src/ledger/send-probes.ts';
import {
  absent,
  attempt,
  claimOne,
  dueNow,
  end,
  failed,
  type Ledger,
  letPass,
  one,
  openLedger,
  putDestination,
  record,
  row,
  settleOne,
  stateOf,
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
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

describe('an attempt whose process died', () => {
  test('is found when its lease is over, and not before', async () => {
    const { delivery } = await record(ledger.db);
    const { claim } = await take(ledger.db, delivery);
    await letPass(ledger.db, 17);
    expect(await findLostAttempts(ledger.db, 10, 0)).toEqual([]);
    await letPass(ledger.db, 2);
    expect(await findLostAttempts(ledger.db, 10, 0)).toEqual([
      { id: delivery, claim, action: 'deliver', kind: 'webhook', policy: expect.objectContaining({ maxAttempts: 5 }) },
    ]);
  });

  test('is found no more once its outcome is settled, and its own late outcome is refused then', async () => {
    const { delivery } = await record(ledger.db);
    const claimed = await take(ledger.db, delivery);
    await letPass(ledger.db, 60);
    expect(await settleOne(ledger.db, claimed, failed('ambiguous'), { rules: verifiable })).toMatchObject({
      state: 'verifying',
    });
    expect(await findLostAttempts(ledger.db, 10, 0)).toEqual([]);
    expect(await settleOne(ledger.db, claimed, success)).toMatchObject({ accepted: false });
    expect(await stateOf(ledger.db, delivery)).toBe('verifying');
  });
});

describe('a deadline', () => {
  const inAnHour = () => new Date(Date.now() + 3_600_000);

  test('ends what was not even sent, and with it the broadcast', async () => {
    const { id, delivery } = await record(ledger.db, { expiresAt: inAnHour() });
    await letPass(ledger.db, 3_590);
    expect(await expireOverdue(ledger.db, 10)).toBe(0);
    await letPass(ledger.db, 20);
    expect(await expireOverdue(ledger.db, 10)).toBe(1);
    expect(await stateOf(ledger.db, delivery)).toBe('expired');
    expect(await one(ledger.db, 'select state from broadcasts where id = $1', [id])).toEqual({ state: 'failed' });
    expect(await expireOverdue(ledger.db, 10)).toBe(0);
  });

  test('ends what is held or waits for its next try too', async () => {
    const first = await record(ledger.db, { topic: 'INC-1', expiresAt: inAnHour() });
    const held = await record(ledger.db, { topic: 'INC-1', expiresAt: inAnHour() });
    await attempt(ledger.db, first.delivery, failed('transient'));
    await letPass(ledger.db, 3_610);
    expect(await expireOverdue(ledger.db, 10)).toBe(2);
    expect(await row(ledger.db, held.delivery)).toMatchObject({ state: 'expired', hold: null });
  });

  test('waits for what is in flight or may have landed', async () => {
    const sending = await record(ledger.db, { expiresAt: inAnHour() });
    const claimed = await take(ledger.db, sending.delivery);
    const verifying = await record(ledger.db, { expiresAt: inAnHour() });
    await attempt(ledger.db, verifying.delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 3_610);
    expect(await expireOverdue(ledger.db, 10)).toBe(0);
    expect(await settleOne(ledger.db, claimed, failed('transient'))).toMatchObject({ state: 'expired' });
    expect(await attempt(ledger.db, verifying.delivery, absent, { rules: verifiable })).toMatchObject({
      state: 'expired',
    });
  });

  test('also ends what provably never landed and waits behind a pause', async () => {
    const { delivery } = await record(ledger.db, { expiresAt: inAnHour() });
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 130);
    await attempt(ledger.db, delivery, absent, { rules: verifiable });
    await ledger.db.query(`update destinations set paused_at = now(), pause_reason = 'maintenance'`);
    expect(await claimOne(ledger.db, delivery)).toBeNull();
    expect(await stateOf(ledger.db, delivery)).toBe('held');
    await letPass(ledger.db, 3_600);
    expect(await expireOverdue(ledger.db, 10)).toBe(1);
  });

  test('does not touch what was confirmed', async () => {
    const { delivery } = await record(ledger.db, { expiresAt: inAnHour() });
    await end(ledger.db, delivery, 'confirmed');
    await letPass(ledger.db, 3_610);
    expect(await expireOverdue(ledger.db, 10)).toBe(0);
  });

  test('escalates what it ended', async () => {
    await putDestination(ledger.db, 'fragile', { fallback: 'ops' });
    const { delivery } = await record(ledger.db, { to: ['fragile'], expiresAt: inAnHour() });
    await letPass(ledger.db, 3_610);
    await expireOverdue(ledger.db, 10);
    const { escalated_to: to } = await row(ledger.db, delivery);
    // Whoever takes over is not bound by a deadline that has passed.
    expect(await take(ledger.db, to ?? '')).toMatchObject({ destination: 'ops', action: 'deliver' });
  });
});

describe('what was held by a reason that is gone', () => {
  async function strand(hold: 'paused' | 'breaker' | 'topic', topic: string | null = null): Promise<string> {
    const { delivery } = await record(ledger.db, { topic });
    await ledger.db.query(`update deliveries set state = 'held', hold = $2, due_at = null where id = $1`, [
      delivery,
      hold,
    ]);
    return delivery;
  }

  test.each([
    ['paused', null],
    ['breaker', null],
    ['topic', 'INC-1'],
  ] as const)('(%s) goes on', async (hold, topic) => {
    const id = await strand(hold, topic);
    expect(await (topic ? releaseTopics(ledger.db, 10) : releaseStranded(ledger.db))).toBe(1);
    expect(await dueNow(ledger.db)).toEqual([id]);
    await take(ledger.db, id);
  });

  test('goes on even when its destination was removed', async () => {
    const id = await strand('paused');
    await ledger.db.query('delete from destinations');
    expect(await releaseStranded(ledger.db)).toBe(1);
    await take(ledger.db, id);
  });

  test('stays while the reason stands', async () => {
    await strand('paused');
    await ledger.db.query(`update destinations set paused_at = now(), pause_reason = 'maintenance'`);
    await putDestination(ledger.db, 'sick');
    const sick = await record(ledger.db, { to: ['sick'] });
    await ledger.db.query(`update destinations set breaker_until = now() where name = 'sick'`);
    await claimOne(ledger.db, sick.delivery);
    await putDestination(ledger.db, 'busy');
    await record(ledger.db, { to: ['busy'], topic: 'INC-2' });
    await record(ledger.db, { to: ['busy'], topic: 'INC-2' });
    expect(await releaseStranded(ledger.db)).toBe(0);
    expect(await releaseTopics(ledger.db, 10)).toBe(0);
  });
});

describe('a breaker that has waited out its pause', () => {
  async function opened(): Promise<void> {
    await ledger.db.query(`update destinations set breaker_until = now() + interval '10 seconds'`);
  }

  test('lets one delivery through, the most urgent, and only one', async () => {
    await opened();
    const calm = await record(ledger.db);
    const urgent = await record(ledger.db, { message: { title: 'Down', severity: 'critical' } });
    for (const { delivery } of [calm, urgent]) await claimOne(ledger.db, delivery);
    expect(await sendProbes(ledger.db)).toBe(0);
    await letPass(ledger.db, 11);
    await sendProbes(ledger.db);
    await sendProbes(ledger.db);
    expect(await stateOf(ledger.db, calm.delivery)).toBe('held');
    expect(await dueNow(ledger.db)).toContain(urgent.delivery);
    await take(ledger.db, urgent.delivery);
  });

  test('does not choose what its topic holds back, or nothing would ever get through', async () => {
    await opened();
    const first = await record(ledger.db, { topic: 'INC-1' });
    const second = await record(ledger.db, { topic: 'INC-1', message: { title: 'Down', severity: 'critical' } });
    await ledger.db.query(`update deliveries set state = 'held', hold = 'breaker', due_at = null`);
    await letPass(ledger.db, 11);
    await sendProbes(ledger.db);
    expect(await claimOne(ledger.db, second.delivery)).toBeNull();
    await take(ledger.db, first.delivery);
  });

  test('chooses another one when the probe ended without being sent', async () => {
    await opened();
    const first = await record(ledger.db, { expiresAt: new Date(Date.now() + 60_000) });
    const second = await record(ledger.db);
    for (const { delivery } of [first, second]) await claimOne(ledger.db, delivery);
    await letPass(ledger.db, 11);
    await sendProbes(ledger.db);
    await letPass(ledger.db, 60);
    expect(await expireOverdue(ledger.db, 10)).toBe(1);
    await sendProbes(ledger.db);
    await take(ledger.db, second.delivery);
  });

  test('closes when nothing is waiting', async () => {
    await opened();
    await letPass(ledger.db, 11);
    await sendProbes(ledger.db);
    expect(await one(ledger.db, 'select breaker_until, probe from destinations')).toEqual({
      breaker_until: null,
      probe: null,
    });
  });
});
