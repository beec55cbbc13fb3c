import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cancel } from '../../src/ledger/cancel.ts';
import { escalateOverdue } from '../../src/ledger/escalate-overdue.ts';
import { expireOverdue } from '../../src/ledger/expire-overdue.ts';
import { pauseDestination } from '../../src/ledger/pause-destination.ts';
import { retry } from '../../src/ledger/retry.ts';
import { retract, revise } from '../../src/ledger/revise.ts';
import {
  attempt,
  callbacks,
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
  await putDestination(ledger.db, 'manager');
  await putDestination(ledger.db, 'oncall', { kind: 'pagerduty', fallback: 'manager', policy: { maxAttempts: 9 } });
  await putDestination(ledger.db, 'ops', { fallback: 'oncall' });
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

const critical = { title: 'P1', severity: 'critical' as const };
const escalate = () => escalateOverdue(ledger.db, 500);
const setPolicy = (name: string, change: string) =>
  ledger.db.query(`update destinations set policy = policy ${change} where name = '${name}'`);
const broadcastState = async (id: string) =>
  (await one<{ state: string }>(ledger.db, 'select state from broadcasts where id = $1', [id])).state;
const destinationsOf = async (id: string) =>
  (
    await ledger.db.query<{ destination: string }>(
      `select destination from deliveries where broadcast_id = $1 and role = 'message' order by seq`,
      [id],
    )
  ).rows.map(({ destination }) => destination);

/** The delivery at the fallback. */
async function follower(id: string): Promise<string> {
  const { escalated_to: to } = await row(ledger.db, id);
  if (!to) throw new Error(`${id} was not escalated`);
  return to;
}

describe('a delivery that is not confirmed in time', () => {
  test('is sent to the fallback as well, once, and both sides say so', async () => {
    const { id, delivery } = await record(ledger.db, { topic: 'INC-1' });
    await letPass(ledger.db, 299);
    expect(await escalate()).toBe(0);
    await letPass(ledger.db, 2);
    expect(await escalate()).toBe(1);
    const to = await follower(delivery);
    expect(await row(ledger.db, to)).toMatchObject({
      broadcast_id: id,
      destination: 'oncall',
      kind: 'pagerduty',
      state: 'pending',
      required: true,
      max_attempts: 9,
      topic: 'INC-1',
      escalated_from: delivery,
    });
    expect(await dueNow(ledger.db)).toEqual([delivery, to].sort());
    expect(await stateOf(ledger.db, delivery)).toBe('pending');
    expect(await escalate()).toBe(0);
  });

  test('waits two minutes only when it is critical, also when it became that later', async () => {
    const first = await record(ledger.db, { message: critical });
    const later = await record(ledger.db);
    const never = await record(ledger.db);
    await letPass(ledger.db, 121);
    await revise(ledger.db, later.id, critical);
    expect(await escalate()).toBe(2);
    expect((await row(ledger.db, first.delivery)).escalated_to).not.toBeNull();
    expect((await row(ledger.db, later.delivery)).escalated_to).not.toBeNull();
    expect((await row(ledger.db, never.delivery)).escalated_to).toBeNull();
  });

  test('waits as long as the policy says, whatever its severity', async () => {
    await setPolicy('ops', `|| '{"escalateAfterMs": 600000}'`);
    const { delivery } = await record(ledger.db, { message: critical });
    await letPass(ledger.db, 599);
    expect(await escalate()).toBe(0);
    await letPass(ledger.db, 2);
    expect(await escalate()).toBe(1);
    expect((await row(ledger.db, delivery)).escalated_to).not.toBeNull();
  });

  test('waits for its end where the policy says null', async () => {
    await setPolicy('ops', `|| '{"escalateAfterMs": null}'`);
    const { delivery } = await record(ledger.db, { message: critical });
    await letPass(ledger.db, 86_400);
    expect(await escalate()).toBe(0);
    await end(ledger.db, delivery, 'dead');
    expect(await stateOf(ledger.db, await follower(delivery))).toBe('pending');
  });

  test('is escalated at once by a policy and a fallback that came while it waited', async () => {
    await putDestination(ledger.db, 'chat');
    const { delivery } = await record(ledger.db, { to: ['chat'] });
    await letPass(ledger.db, 60);
    expect(await escalate()).toBe(0);
    await ledger.db.query(`update destinations set fallback = 'oncall' where name = 'chat'`);
    await setPolicy('chat', `|| '{"escalateAfterMs": 30000}'`);
    expect(await escalate()).toBe(1);
    expect(await stateOf(ledger.db, await follower(delivery))).toBe('pending');
  });

  test('is escalated whether it is pending, held, being sent, looked for or waiting for its next try', async () => {
    const sending = await record(ledger.db);
    await take(ledger.db, sending.delivery);
    const retrying = await record(ledger.db);
    await attempt(ledger.db, retrying.delivery, failed('transient'));
    const verifying = await record(ledger.db);
    await attempt(ledger.db, verifying.delivery, failed('ambiguous'), { rules: verifiable });
    const first = await record(ledger.db, { topic: 'INC-1' });
    const behind = await record(ledger.db, { topic: 'INC-1' });
    await pauseDestination(ledger.db, 'ops', 'maintenance');
    const paused = await record(ledger.db);
    await ledger.db.query(`update destinations set paused_at = null, pause_reason = null, breaker_until = now()`);
    const broken = await record(ledger.db);
    const states = await Promise.all(
      [sending, retrying, verifying, first, behind, paused, broken].map(async ({ delivery }) => {
        const { state, hold } = await row(ledger.db, delivery);
        return hold ?? state;
      }),
    );
    expect(states).toEqual(['sending', 'retrying', 'verifying', 'pending', 'topic', 'paused', 'breaker']);
    await letPass(ledger.db, 301);
    expect(await escalate()).toBe(7);
  });

  test('goes on by itself: confirmed later both stay, and the broadcast is delivered', async () => {
    const { id, delivery } = await record(ledger.db);
    await letPass(ledger.db, 301);
    await escalate();
    const to = await follower(delivery);
    await end(ledger.db, delivery, 'confirmed');
    expect([await stateOf(ledger.db, to), await broadcastState(id)]).toEqual(['pending', 'converging']);
    await end(ledger.db, to, 'confirmed');
    expect(await broadcastState(id)).toBe('delivered');
    expect((await row(ledger.db, delivery)).escalated_to).toBe(to);
  });

  test('that is confirmed after all counts, and not what became of the fallback', async () => {
    const { id, delivery } = await record(ledger.db);
    await letPass(ledger.db, 301);
    await escalate();
    await setPolicy('oncall', `|| '{"escalateAfterMs": null}'`);
    await ledger.db.query(`update destinations set fallback = null where name = 'oncall'`);
    await end(ledger.db, await follower(delivery), 'dead');
    await end(ledger.db, delivery, 'confirmed');
    expect(await broadcastState(id)).toBe('delivered');
  });

  test.each(['dead', 'unknown'] as const)('is not escalated again when it ends %s', async (state) => {
    const { id, delivery } = await record(ledger.db);
    await letPass(ledger.db, 301);
    await escalate();
    const to = await follower(delivery);
    await end(ledger.db, delivery, state);
    expect(await follower(delivery)).toBe(to);
    expect(await destinationsOf(id)).toEqual(['ops', 'oncall']);
    await end(ledger.db, to, 'confirmed');
    expect(await broadcastState(id)).toBe('partial');
  });

  test('is not escalated again when it expires, and its fallback has no deadline', async () => {
    const { id, delivery } = await record(ledger.db, { expiresAt: new Date(Date.now() + 400_000) });
    await letPass(ledger.db, 301);
    await escalate();
    await letPass(ledger.db, 120);
    expect(await expireOverdue(ledger.db, 10)).toBe(1);
    expect(await destinationsOf(id)).toEqual(['ops', 'oncall']);
    expect(await stateOf(ledger.db, await follower(delivery))).toBe('pending');
  });

  test('names the delivery that the broadcast has at the fallback anyway, instead of sending twice', async () => {
    const { id, deliveries } = await record(ledger.db, { to: ['ops', 'oncall'] });
    const [ops = '', oncall = ''] = deliveries;
    await end(ledger.db, oncall, 'confirmed');
    await letPass(ledger.db, 301);
    expect(await escalate()).toBe(1);
    expect(await follower(ops)).toBe(oncall);
    expect(await destinationsOf(id)).toEqual(['ops', 'oncall']);
    expect(await escalate()).toBe(0);
  });

  test('climbs a ladder whose every step has its own time', async () => {
    const { id, delivery } = await record(ledger.db, { message: critical });
    await letPass(ledger.db, 121);
    expect(await escalate()).toBe(1);
    expect(await escalate()).toBe(0);
    await letPass(ledger.db, 119);
    expect(await escalate()).toBe(0);
    await letPass(ledger.db, 2);
    expect(await escalate()).toBe(1);
    expect(await destinationsOf(id)).toEqual(['ops', 'oncall', 'manager']);
    expect(await row(ledger.db, await follower(await follower(delivery)))).toMatchObject({ destination: 'manager' });
    await letPass(ledger.db, 1_000);
    expect(await escalate()).toBe(0);
  });

  test('that a person tries again gets all its time once more', async () => {
    await ledger.db.query(`update destinations set fallback = null where name = 'ops'`);
    const { delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'dead');
    await letPass(ledger.db, 3_600);
    await ledger.db.query(`update destinations set fallback = 'oncall' where name = 'ops'`);
    expect(await retry(ledger.db, { states: ['dead'], id: delivery })).toBe(1);
    expect(await escalate()).toBe(0);
    await letPass(ledger.db, 301);
    expect(await escalate()).toBe(1);
  });

  test('that was escalated before is not again, however often a person tries it', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'dead');
    await retry(ledger.db, { states: ['dead'], id: delivery });
    await letPass(ledger.db, 301);
    await ledger.db.query(`update destinations set fallback = null where name = 'oncall'`);
    expect(await escalate()).toBe(0);
    expect(await destinationsOf(id)).toEqual(['ops', 'oncall']);
  });

  test('says the newest text at the fallback; a later one reaches both', async () => {
    const { id, delivery } = await record(ledger.db);
    await revise(ledger.db, id, { title: 'Better', severity: 'info' });
    await letPass(ledger.db, 301);
    await escalate();
    const to = await follower(delivery);
    expect(await take(ledger.db, to)).toMatchObject({ action: 'deliver', message: { title: 'Better' } });
    await settleOne(ledger.db, { id: to, claim: 1 }, success);
    await revise(ledger.db, id, { title: 'Best', severity: 'info' });
    expect(await take(ledger.db, to)).toMatchObject({ action: 'revise', message: { title: 'Best' } });
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'deliver', message: { title: 'Best' } });
  });

  test('is not escalated when only a newer text has not reached it', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'confirmed');
    await revise(ledger.db, id, critical);
    await letPass(ledger.db, 3_600);
    expect(await escalate()).toBe(0);
  });

  test('is not escalated when nobody wants it any more, and what is at the fallback goes the same way', async () => {
    for (const unwant of [cancel, retract]) {
      const early = await record(ledger.db);
      const sending = await record(ledger.db);
      await take(ledger.db, sending.delivery);
      await unwant(ledger.db, early.id);
      await unwant(ledger.db, sending.id);
      await letPass(ledger.db, 301);
      expect(await escalate()).toBe(0);

      const late = await record(ledger.db);
      await letPass(ledger.db, 301);
      expect(await escalate()).toBe(1);
      await unwant(ledger.db, late.id);
      expect(await stateOf(ledger.db, await follower(late.delivery))).toBe(
        unwant === cancel ? 'cancelled' : 'superseded',
      );
      expect(await broadcastState(late.id)).toBe('cancelled');
    }
  });

  test('is told by broadcast.updated', async () => {
    const callback = { url: 'https://hooks.example.com', events: ['broadcast.updated'] };
    const { id } = await record(ledger.db, { callback });
    await letPass(ledger.db, 301);
    await escalate();
    expect(await callbacks(ledger.db, id)).toHaveLength(1);
  });

  test('is escalated once by two sweeps at once, and while its attempt is settled', async () => {
    const all = [];
    for (let n = 0; n < 30; n++) all.push(await record(ledger.db, { to: ['ops'] }));
    const claims = [];
    for (const { delivery } of all.slice(0, 10)) claims.push(await take(ledger.db, delivery));
    await letPass(ledger.db, 301);
    const [one = 0, other = 0] = (await Promise.all([
      escalate(),
      escalate(),
      ...claims.map((claimed) => settleOne(ledger.db, claimed, failed('permanent'))),
    ])) as [number, number];
    expect(one + other).toBeLessThanOrEqual(30);
    for (const { id } of all) expect(await destinationsOf(id)).toEqual(['ops', 'oncall']);
  });

  test('is found in bounded batches, the most urgent and then the oldest first', async () => {
    const old = await record(ledger.db);
    await letPass(ledger.db, 100);
    const urgent = await record(ledger.db, { message: critical });
    const young = await record(ledger.db);
    await letPass(ledger.db, 301);
    const order: unknown[] = [];
    for (let n = 0; n < 3; n++) {
      expect(await escalateOverdue(ledger.db, 1)).toBe(1);
      for (const it of [old, urgent, young]) {
        if ((await row(ledger.db, it.delivery)).escalated_to && !order.includes(it)) order.push(it);
      }
    }
    expect(order).toEqual([urgent, old, young]);
  });

  test('is rung at the fallback and can be claimed there, whatever its own destination does', async () => {
    await pauseDestination(ledger.db, 'ops', 'maintenance');
    const { delivery } = await record(ledger.db);
    await letPass(ledger.db, 301);
    await escalate();
    expect(await claimOne(ledger.db, await follower(delivery))).toMatchObject({ action: 'deliver' });
  });

  test('is not kept from its fallback by another one that cannot be escalated', async () => {
    const { delivery: poisoned } = await record(ledger.db, { message: critical });
    const others = [];
    for (let n = 0; n < 5; n++) others.push((await record(ledger.db)).delivery);
    await letPass(ledger.db, 301);
    await ledger.db.query(`
      create function refuse() returns trigger language plpgsql as $$ begin raise exception 'poison'; end $$;
      create trigger poison before update on deliveries for each row when (new.id = '${poisoned}') execute function refuse()`);
    try {
      await expect(escalate()).rejects.toThrow('poison');
      for (const delivery of others) expect(await stateOf(ledger.db, await follower(delivery))).toBe('pending');
    } finally {
      await ledger.db.query('drop function refuse cascade');
    }
    expect(await escalate()).toBe(1);
  });
});
