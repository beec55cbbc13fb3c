import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Outcome } from '../../src/delivery/outcome.ts';
import { cancel } from '../../src/ledger/cancel.ts';
import { retry } from '../../src/ledger/retry.ts';
import { retract, revise } from '../../src/ledger/revise.ts';
import { settle } from '../../src/ledger/settle.ts';
import {
  attempt,
  blind,
  callbacks,
  dueNow,
  end,
  failed,
  type Ledger,
  letPass,
  one,
  openLedger,
  putDestination,
  record,
  repeatable,
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
  await putDestination(ledger.db, 'oncall', { kind: 'pagerduty', policy: { maxAttempts: 9 } });
  await putDestination(ledger.db, 'ops', { fallback: 'oncall' });
  await putDestination(ledger.db, 'chat');
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

const callback = (...events: string[]) => ({ url: 'https://hooks.example.com/tocsin', events });
const broadcastState = async (id: string) =>
  (await one<{ state: string }>(ledger.db, 'select state from broadcasts where id = $1', [id])).state;

describe('an outcome', () => {
  test('moves its delivery on, and completes the attempt that was written down', async () => {
    const { delivery } = await record(ledger.db);
    const settled = await attempt(ledger.db, delivery, failed('transient', { status: 503, reason: 'unavailable' }));
    expect(settled).toMatchObject({ id: delivery, accepted: true, state: 'retrying', blockedMs: null });
    expect(settled.waitMs).toBe(990);
    const fault = { class: 'transient', reason: 'unavailable', message: 'A fault.', status: 503 };
    expect(await row(ledger.db, delivery)).toMatchObject({ state: 'retrying', last_error: fault, lease_until: null });
    expect(await one(ledger.db, 'select outcome, error, finished_at is not null as finished from attempts')).toEqual({
      outcome: 'transient',
      error: fault,
      finished: true,
    });
  });

  test('of an older claim changes nothing', async () => {
    const { delivery } = await record(ledger.db);
    const stale = await take(ledger.db, delivery);
    await settleOne(ledger.db, stale, failed('transient'));
    await letPass(ledger.db, 60);
    await take(ledger.db, delivery);
    const before = await row(ledger.db, delivery);
    expect(await settleOne(ledger.db, stale, failed('permanent'))).toMatchObject({ accepted: false, waitMs: null });
    expect(await row(ledger.db, delivery)).toEqual(before);
    expect(await one(ledger.db, 'select count(*)::int as n from attempts')).toEqual({ n: 1 });
  });

  test('told twice counts once, one after the other or within one batch', async () => {
    const { id, delivery } = await record(ledger.db, { callback: callback('delivery.confirmed') });
    const claimed = await take(ledger.db, delivery);
    const settlement = { id: delivery, claim: claimed.claim, outcome: success, rules: repeatable };
    const answers = await settle(ledger.db, [settlement, settlement]);
    expect(answers.map(({ accepted }) => accepted)).toEqual([true, false]);
    expect((await settleOne(ledger.db, claimed, success)).accepted).toBe(false);
    expect(await callbacks(ledger.db, id)).toHaveLength(1);
  });

  test('of a delivery that does not exist is ignored', async () => {
    expect(await settleOne(ledger.db, { id: 'dl_nowhere', claim: 1 }, success)).toMatchObject({ accepted: false });
  });

  test('that a newer revision overtook goes on towards that at once', async () => {
    const { id, delivery } = await record(ledger.db);
    const sent = await take(ledger.db, delivery);
    await revise(ledger.db, id, { title: 'Better', severity: 'info' });
    expect(await settleOne(ledger.db, sent, success)).toMatchObject({ state: 'pending', waitMs: 0 });
    expect(await row(ledger.db, delivery)).toMatchObject({ confirmed: 1, desired: 2, attempt: 0 });
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'revise', revision: 2 });
  });
});

describe('the last outcome of a broadcast', () => {
  test('closes it with its verdict', async () => {
    const { id, deliveries } = await record(ledger.db, { to: ['chat', 'oncall'] });
    const [chat = '', oncall = ''] = deliveries;
    await end(ledger.db, chat, 'confirmed');
    expect(await broadcastState(id)).toBe('converging');
    await end(ledger.db, oncall, 'dead');
    expect(await one(ledger.db, 'select state, converged_at is not null as over from broadcasts')).toEqual({
      state: 'partial',
      over: true,
    });
  });

  test('closes it exactly once, with one callback, however the last two race', async () => {
    for (let round = 0; round < 50; round++) {
      const { id, deliveries } = await record(ledger.db, {
        to: ['chat', 'oncall'],
        callback: callback('broadcast.converged'),
      });
      const claims = [];
      for (const delivery of deliveries) claims.push(await take(ledger.db, delivery));
      await Promise.all(claims.map((claimed) => settleOne(ledger.db, claimed, success)));
      expect(await broadcastState(id)).toBe('delivered');
      expect(await callbacks(ledger.db, id)).toHaveLength(1);
    }
  });

  test('tells everyone who watches', async () => {
    const { id, delivery } = await record(ledger.db, { to: ['chat'] });
    const client = await ledger.db.connect();
    try {
      const heard = new Promise((resolve) => client.once('notification', ({ payload }) => resolve(payload)));
      await client.query('listen tocsin_broadcast');
      await end(ledger.db, delivery, 'confirmed');
      expect(await heard).toBe(id);
    } finally {
      await client.query('unlisten *');
      client.release();
    }
  });
});

describe('a callback', () => {
  test('is a delivery like any other: rung, claimed, retried, and no part of the verdict', async () => {
    const { id, delivery } = await record(ledger.db, { to: ['chat'], callback: callback('broadcast.converged') });
    await end(ledger.db, delivery, 'confirmed');
    const [call] = await callbacks(ledger.db, id);
    expect(call).toMatchObject({ destination: 'callback:hooks.example.com', state: 'pending', required: false });
    expect(await dueNow(ledger.db)).toEqual([call?.id]);
    expect(await take(ledger.db, call?.id ?? '')).toMatchObject({
      action: 'deliver',
      callback: callback('broadcast.converged'),
      event: { type: 'broadcast.converged' },
      settings: null,
    });
    await settleOne(ledger.db, { id: call?.id ?? '', claim: 1 }, failed('permanent'));
    expect(await broadcastState(id)).toBe('delivered');
    expect(await callbacks(ledger.db, id)).toHaveLength(1);
  });

  test('of a broadcast that was taken back still goes out, and is tried again', async () => {
    const { id, delivery } = await record(ledger.db, { to: ['chat'], callback: callback('broadcast.converged') });
    const sent = await take(ledger.db, delivery);
    await retract(ledger.db, id);
    await settleOne(ledger.db, sent, failed('transient'));
    expect(await stateOf(ledger.db, delivery)).toBe('superseded');
    const [call] = await callbacks(ledger.db, id);
    expect(await attempt(ledger.db, call?.id ?? '', failed('transient'))).toMatchObject({ state: 'retrying' });
    await letPass(ledger.db, 60);
    expect(await attempt(ledger.db, call?.id ?? '', success)).toMatchObject({ state: 'confirmed' });
  });

  test('nobody asked for is not made', async () => {
    const { id, delivery } = await record(ledger.db, { to: ['chat'], callback: callback('delivery.dead') });
    await end(ledger.db, delivery, 'confirmed');
    expect(await callbacks(ledger.db, id)).toEqual([]);
  });

  test('comes once for each time that a broadcast converges', async () => {
    const { id, delivery } = await record(ledger.db, { to: ['chat'], callback: callback('broadcast.converged') });
    await end(ledger.db, delivery, 'confirmed');
    await revise(ledger.db, id, { title: 'Better', severity: 'info' });
    expect(await broadcastState(id)).toBe('converging');
    await end(ledger.db, delivery, 'confirmed');
    expect((await callbacks(ledger.db, id)).map(({ event }) => event?.type)).toEqual([
      'broadcast.converged',
      'broadcast.converged',
    ]);
  });
});

describe('a fallback', () => {
  test.each(['dead', 'unknown'] as const)('takes over what ended %s, once, and both sides say so', async (state) => {
    const { id, delivery } = await record(ledger.db, { topic: 'INC-1' });
    await end(ledger.db, delivery, state);
    const { escalated_to: to } = await row(ledger.db, delivery);
    expect(await row(ledger.db, to ?? '')).toMatchObject({
      broadcast_id: id,
      destination: 'oncall',
      kind: 'pagerduty',
      state: 'pending',
      required: true,
      max_attempts: 9,
      topic: 'INC-1',
      escalated_from: delivery,
    });
    expect(await dueNow(ledger.db)).toEqual([to]);
    expect(await broadcastState(id)).toBe('converging');
    await end(ledger.db, to ?? '', 'confirmed');
    expect(await broadcastState(id)).toBe('partial');
  });

  test('that the broadcast goes to anyway is named instead of being sent to twice', async () => {
    const { id, deliveries } = await record(ledger.db, { to: ['ops', 'oncall'] });
    const [ops = '', oncall = ''] = deliveries;
    await end(ledger.db, ops, 'dead');
    expect((await row(ledger.db, ops)).escalated_to).toBe(oncall);
    const { n } = await one<{ n: number }>(
      ledger.db,
      'select count(*)::int as n from deliveries where broadcast_id = $1',
      [id],
    );
    expect(n).toBe(2);
  });

  test('is not for what was confirmed', async () => {
    const { delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'confirmed');
    expect((await row(ledger.db, delivery)).escalated_to).toBeNull();
  });

  test('is not for what nobody wants any more', async () => {
    for (const [unwant, state] of [
      [cancel, 'dead'],
      [retract, 'superseded'],
    ] as const) {
      const { id, delivery } = await record(ledger.db);
      const sent = await take(ledger.db, delivery);
      await unwant(ledger.db, id);
      await settleOne(ledger.db, sent, failed('permanent'));
      expect(await row(ledger.db, delivery)).toMatchObject({ state, escalated_to: null });
      expect(await broadcastState(id)).not.toBe('converging');
    }
  });

  test('says the newest text', async () => {
    const { id, delivery } = await record(ledger.db);
    await revise(ledger.db, id, { title: 'Better', severity: 'info' });
    await end(ledger.db, delivery, 'dead');
    const { escalated_to: to } = await row(ledger.db, delivery);
    expect(await take(ledger.db, to ?? '')).toMatchObject({ action: 'deliver', message: { title: 'Better' } });
  });
});

describe('the health of a destination', () => {
  const health = () =>
    one<{ faults: number; trips: number; probe: string | null; open_for: number | null; pause_reason: string | null }>(
      ledger.db,
      `select faults, breaker_trips as trips, probe, pause_reason,
              round(extract(epoch from breaker_until - now()))::int as open_for from destinations where name = 'chat'`,
    );

  async function faults(count: number, faultClass: 'transient' | 'ambiguous' = 'transient'): Promise<void> {
    for (let n = 0; n < count; n++) {
      const { delivery } = await record(ledger.db, { to: ['chat'] });
      await attempt(ledger.db, delivery, failed(faultClass), { rules: verifiable });
    }
  }

  test('four faults in a row change nothing, the fifth opens its breaker', async () => {
    await faults(4);
    expect(await health()).toMatchObject({ faults: 4, open_for: null });
    await faults(1, 'ambiguous');
    expect(await health()).toMatchObject({ trips: 1, open_for: 10 });
  });

  test('a success between them starts the count again', async () => {
    await faults(4);
    await end(ledger.db, (await record(ledger.db, { to: ['chat'] })).delivery, 'confirmed');
    await faults(4);
    expect(await health()).toMatchObject({ faults: 4, open_for: null });
  });

  test('a look that it answers without telling is no sign of illness', async () => {
    const { delivery } = await record(ledger.db, { to: ['chat'] });
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 10);
    await faults(3);
    const { fault } = failed('ambiguous', { reason: 'unclear', inconclusive: true }) as Extract<
      Outcome,
      { is: 'fault' }
    >;
    await attempt(ledger.db, delivery, { is: 'unclear', fault }, { rules: verifiable });
    expect(await health()).toMatchObject({ faults: 0, open_for: null });
  });

  test('what the message was refused for says nothing against the destination', async () => {
    for (let n = 0; n < 6; n++) await end(ledger.db, (await record(ledger.db, { to: ['chat'] })).delivery, 'dead');
    expect(await health()).toMatchObject({ faults: 0, open_for: null });
  });

  test('our own death says nothing about the destination', async () => {
    for (let n = 0; n < 6; n++) {
      const { delivery } = await record(ledger.db, { to: ['chat'] });
      await attempt(ledger.db, delivery, failed('ambiguous'), { tellsHealth: false });
    }
    expect(await health()).toMatchObject({ faults: 0, open_for: null });
  });

  /** An open breaker that has waited out its pause, with one delivery held by it and another one probing. */
  async function probing(): Promise<{ probe: string; held: string; older: string }> {
    const older = (await record(ledger.db, { to: ['chat'] })).delivery;
    await take(ledger.db, older);
    await faults(5);
    const probe = (await record(ledger.db, { to: ['chat'] })).delivery;
    const held = (await record(ledger.db, { to: ['chat'] })).delivery;
    await expect(take(ledger.db, held)).rejects.toThrow(/held/);
    await letPass(ledger.db, 15);
    await letThrough(probe);
    return { probe, held, older };
  }

  async function letThrough(probe: string): Promise<void> {
    await ledger.db.query(`update destinations set probe = $1 where name = 'chat'`, [probe]);
    await ledger.db.query(
      `update deliveries set state = 'pending', hold = null, due_at = now() where id = $1 and state = 'held'`,
      [probe],
    );
  }

  test('the success of the probe closes the breaker and lets go what waited', async () => {
    const { probe, held } = await probing();
    await attempt(ledger.db, probe, success);
    expect(await health()).toMatchObject({ faults: 0, trips: 0, probe: null, open_for: null });
    expect(await stateOf(ledger.db, held)).toBe('pending');
    expect(await dueNow(ledger.db)).toContain(held);
  });

  test('another fault of the probe keeps it open, for twice as long', async () => {
    const { probe, held } = await probing();
    await attempt(ledger.db, probe, failed('transient'));
    expect(await health()).toMatchObject({ trips: 2, probe: null, open_for: 20 });
    expect(await stateOf(ledger.db, held)).toBe('held');
  });

  test('the probe of a place where nobody answers never dies of that, however long the outage', async () => {
    const { probe } = await probing();
    for (let n = 0; n < 8; n++) {
      expect(await attempt(ledger.db, probe, failed('transient', { reason: 'connection_refused' }))).toMatchObject({
        state: 'retrying',
      });
      await letPass(ledger.db, 3_600);
      await letThrough(probe);
    }
    await attempt(ledger.db, probe, success);
    expect(await health()).toMatchObject({ faults: 0, trips: 0, probe: null, open_for: null });
  });

  test('what was sent before it opened does not close it, even when it comes together with the fault of the probe', async () => {
    const { probe, older } = await probing();
    await settleOne(ledger.db, { id: older, claim: 1 }, success);
    expect((await health()).probe).toBe(probe);

    const late = (await record(ledger.db, { to: ['chat'] })).delivery;
    await letThrough(late);
    const other = await take(ledger.db, late);
    await letThrough(probe);
    const probed = await take(ledger.db, probe);
    await settle(ledger.db, [
      { id: other.id, claim: other.claim, outcome: success, rules: repeatable },
      { id: probe, claim: probed.claim, outcome: failed('transient'), rules: repeatable },
    ]);
    expect(await health()).toMatchObject({ trips: 2, open_for: 20 });
  });

  test('a refused credential pauses it, and says why', async () => {
    const { delivery } = await record(ledger.db, { to: ['chat'] });
    await attempt(ledger.db, delivery, failed('permanent', { credential: true, reason: 'token_revoked' }));
    expect((await health()).pause_reason).toBe('credential refused (token_revoked): A fault.');
    const next = await record(ledger.db, { to: ['chat'] });
    await expect(take(ledger.db, next.delivery)).rejects.toThrow(/held/);
  });

  test('a rate limit blocks the credential for as long as the service asked; a shorter one later does not shorten it', async () => {
    await ledger.db.query(`update destinations set budget = 'token-a'`);
    const [long, short] = [await record(ledger.db, { to: ['chat'] }), await record(ledger.db, { to: ['oncall'] })];
    const claims = [await take(ledger.db, long.delivery), await take(ledger.db, short.delivery)] as const;
    const settled = await settleOne(ledger.db, claims[0], failed('rate_limited', { retryAfterMs: 100_000 }));
    expect(settled.blockedMs).toBeGreaterThanOrEqual(100_000);
    await settleOne(ledger.db, claims[1], failed('rate_limited', { retryAfterMs: 1_000 }));
    const { seconds } = await one<{ seconds: number }>(
      ledger.db,
      'select extract(epoch from blocked_until - now())::float8 as seconds from budgets',
    );
    expect(seconds).toBeGreaterThan(99);
  });

  test('is not told by callbacks', async () => {
    const { id, delivery } = await record(ledger.db, { to: ['chat'], callback: callback('broadcast.converged') });
    await end(ledger.db, delivery, 'confirmed');
    const [call] = await callbacks(ledger.db, id);
    await attempt(ledger.db, call?.id ?? '', failed('transient'), { rules: blind });
    expect(await health()).toMatchObject({ faults: 0 });
  });
});

test('a day of nothing but refusals ends a delivery, and one that a person retries has a day again', async () => {
  await putDestination(ledger.db, 'strict');
  const { delivery } = await record(ledger.db, { to: ['strict'] });
  const refusal = failed('rate_limited', { retryAfterMs: 0 });
  const nextDay = async () => {
    await letPass(ledger.db, 86_400);
    await ledger.db.query(
      `update deliveries set last_error = last_error || '{"refusedSince": "2026-01-01T00:00:00.000Z"}' where id = $1`,
      [delivery],
    );
  };
  expect(await attempt(ledger.db, delivery, refusal)).toMatchObject({ state: 'retrying' });
  await nextDay();
  expect(await attempt(ledger.db, delivery, refusal)).toMatchObject({ state: 'dead' });
  expect(await row(ledger.db, delivery)).toMatchObject({ last_error: { reason: 'refused_too_long' } });
  await nextDay();
  expect(await retry(ledger.db, { states: ['dead'], id: delivery })).toBe(1);
  expect(await attempt(ledger.db, delivery, refusal)).toMatchObject({ state: 'retrying' });
});
