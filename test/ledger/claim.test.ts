import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cancel } from '../../src/ledger/cancel.ts';
import { claim, claimDue } from '../../src/ledger/claim.ts';
import { pauseDestination } from '../../src/ledger/pause-destination.ts';
import { readDelivery } from '../../src/ledger/read-delivery.ts';
import { resumeDestination } from '../../src/ledger/resume-destination.ts';
import { retract, revise } from '../../src/ledger/revise.ts';
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
  type Row,
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
  await putDestination(ledger.db, 'ops', { budget: 'token-a', policy: { timeoutMs: 20_000 } });
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

/** Claims what cannot be claimed now, and answers the state in which that left it. */
async function refused(id: string): Promise<Row> {
  expect(await claimOne(ledger.db, id)).toBeNull();
  return row(ledger.db, id);
}
const secondsUntil = (at: Date | null) => ((at?.getTime() ?? 0) - Date.now()) / 1_000;

async function breaker(until: string, probe: string | null = null): Promise<void> {
  await ledger.db.query(`update destinations set breaker_until = ${until}, probe = $1`, [probe]);
}

describe('a claim', () => {
  test('hands out everything that the attempt needs, and its lease is written down', async () => {
    const { id, delivery } = await record(ledger.db, {
      topic: 'INC-1',
      metadata: { team: 'a' },
      message: { title: 'Down', severity: 'critical' },
    });
    expect(await claimOne(ledger.db, delivery)).toMatchObject({
      id: delivery,
      claim: 1,
      action: 'deliver',
      revision: 1,
      kind: 'webhook',
      destination: 'ops',
      broadcastId: id,
      message: { title: 'Down', severity: 'critical' },
      retracted: false,
      topic: 'INC-1',
      metadata: { team: 'a' },
      receipt: null,
      root: null,
      settings: {},
      policy: { timeoutMs: 20_000 },
    });
    expect(await readDelivery(ledger.db, delivery)).toMatchObject({
      attempts: [{ n: 1, action: 'deliver', revision: 1, finished_at: null, outcome: null }],
    });
    expect(await row(ledger.db, delivery)).toMatchObject({ state: 'sending', attempt: 1, claims: 1, due_at: null });
  });

  test('leases the delivery for longer than its attempt can take', async () => {
    const { delivery } = await record(ledger.db);
    await take(ledger.db, delivery);
    const { seconds } = await one<{ seconds: number }>(
      ledger.db,
      'select extract(epoch from lease_until - updated_at)::float8 as seconds from deliveries',
    );
    expect(seconds).toBeGreaterThanOrEqual(28);
  });

  test('of one delivery by two at the same instant is won by exactly one', async () => {
    for (let n = 0; n < 20; n++) {
      const { delivery } = await record(ledger.db);
      const answers = await Promise.all([claimOne(ledger.db, delivery), claimOne(ledger.db, delivery)]);
      expect(answers.filter(Boolean)).toHaveLength(1);
      expect(await row(ledger.db, delivery)).toMatchObject({ claims: 1, attempt: 1 });
    }
  });

  test('of one delivery twice within one batch is won by exactly one', async () => {
    const { delivery } = await record(ledger.db);
    expect(await claim(ledger.db, [delivery, delivery])).toHaveLength(1);
    expect(await row(ledger.db, delivery)).toMatchObject({ claims: 1 });
  });

  test('takes many at once, and leaves out what cannot be claimed', async () => {
    const one = await record(ledger.db);
    const other = await record(ledger.db);
    await end(ledger.db, other.delivery, 'dead');
    const claimed = await claim(ledger.db, [other.delivery, 'dl_nowhere', one.delivery]);
    expect(claimed.map(({ id }) => id)).toEqual([one.delivery]);
  });

  test('hands the same text to all deliveries of a broadcast that it takes, and each its own revision', async () => {
    await putDestination(ledger.db, 'chat');
    const one = await record(ledger.db, { title: 'One', to: ['ops', 'chat'] });
    const other = await record(ledger.db, { title: 'Other', to: ['ops', 'chat'] });
    const claimed = await claim(ledger.db, [...one.deliveries, ...other.deliveries]);
    const titles = (id: string) =>
      claimed.filter(({ broadcastId }) => broadcastId === id).map(({ message }) => message.title);
    expect([titles(one.id), titles(other.id)]).toEqual([
      ['One', 'One'],
      ['Other', 'Other'],
    ]);
  });

  test('of a delivery that is not due yet is refused until it is', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('rate_limited', { retryAfterMs: 60_000 }));
    expect(await refused(delivery)).toMatchObject({ state: 'retrying' });
    await letPass(ledger.db, 70);
    await take(ledger.db, delivery);
  });

  test.each(['confirmed', 'dead', 'unknown'] as const)(
    'that comes after the delivery ended %s is refused',
    async (state) => {
      const { delivery } = await record(ledger.db);
      await end(ledger.db, delivery, state);
      expect(await refused(delivery)).toMatchObject({ state, due_at: null });
    },
  );

  test('of what another one is sending is refused', async () => {
    const { delivery } = await record(ledger.db);
    await take(ledger.db, delivery);
    expect(await refused(delivery)).toMatchObject({ state: 'sending', claims: 1 });
  });
});

describe('what stands in the way', () => {
  test('a paused destination holds the delivery; resuming makes it due again', async () => {
    const { delivery } = await record(ledger.db);
    await pauseDestination(ledger.db, 'ops', 'maintenance');
    expect(await refused(delivery)).toMatchObject({ state: 'held', hold: 'paused', attempt: 0 });
    // Another claim changes nothing.
    expect(await refused(delivery)).toMatchObject({ state: 'held' });

    await resumeDestination(ledger.db, 'ops');
    expect(await dueNow(ledger.db)).toEqual([delivery]);
    await take(ledger.db, delivery);
  });

  test('an open breaker holds the delivery', async () => {
    const { delivery } = await record(ledger.db);
    await breaker(`now() + interval '1 minute'`);
    expect(await refused(delivery)).toMatchObject({ state: 'held', hold: 'breaker' });
  });

  test('a half-open breaker lets only the probe through', async () => {
    const probe = await record(ledger.db);
    const other = await record(ledger.db);
    await breaker(`now() - interval '1 second'`, probe.delivery);
    expect(await refused(other.delivery)).toMatchObject({ state: 'held' });
    await take(ledger.db, probe.delivery);
  });

  test('a rate limit of the credential refuses every destination that spends from it, until it is over', async () => {
    await putDestination(ledger.db, 'ops-too', { budget: 'token-a' });
    await putDestination(ledger.db, 'elsewhere', { budget: 'token-b' });
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('rate_limited', { retryAfterMs: 60_000 }));
    const sharing = await record(ledger.db, { to: ['ops-too'] });
    const { state, due_at } = await refused(sharing.delivery);
    expect(state).toBe('pending');
    expect(secondsUntil(due_at)).toBeGreaterThan(50);
    await take(ledger.db, (await record(ledger.db, { to: ['elsewhere'] })).delivery);
    await letPass(ledger.db, 70);
    await take(ledger.db, sharing.delivery);
  });

  test('a rate limit of a destination that shares none refuses that destination alone', async () => {
    await putDestination(ledger.db, 'alone');
    await putDestination(ledger.db, 'neighbour');
    await attempt(
      ledger.db,
      (await record(ledger.db, { to: ['alone'] })).delivery,
      failed('rate_limited', { retryAfterMs: 60_000 }),
    );
    const { deliveries } = await record(ledger.db, { to: ['alone', 'neighbour'] });
    const [alone = '', neighbour = ''] = deliveries;
    expect(await refused(alone)).toMatchObject({ state: 'pending', claims: 0 });
    await take(ledger.db, neighbour);
  });

  test('a look that a rate limit refused holds up the other looks of the credential, and no send', async () => {
    await putDestination(ledger.db, 'ops-too', { budget: 'token-a' });
    const [one, other] = [await record(ledger.db), await record(ledger.db, { to: ['ops-too'] })];
    for (const { delivery } of [one, other])
      await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 6);
    const refusal = failed('rate_limited', { retryAfterMs: 60_000 });
    const settled = await attempt(ledger.db, one.delivery, refusal, { rules: verifiable });
    expect(settled).toMatchObject({ state: 'verifying', blockedMs: null });
    expect((await row(ledger.db, one.delivery)).suspect).toMatchObject({ looks: 0 });
    const { state, due_at } = await refused(other.delivery);
    expect(state).toBe('verifying');
    expect(secondsUntil(due_at)).toBeGreaterThan(50);
    await take(ledger.db, (await record(ledger.db, { to: ['ops-too'] })).delivery);
    await letPass(ledger.db, 70);
    expect(await take(ledger.db, other.delivery)).toMatchObject({ action: 'verify' });
  });

  test('an earlier broadcast of the topic goes first, and its end lets exactly the next one go', async () => {
    const [first, second, third] = [
      await record(ledger.db, { topic: 'INC-1' }),
      await record(ledger.db, { topic: 'INC-1' }),
      await record(ledger.db, { topic: 'INC-1' }),
    ];
    expect(await refused(second.delivery)).toMatchObject({ state: 'held' });
    await attempt(ledger.db, first.delivery, failed('transient'));
    expect(await stateOf(ledger.db, second.delivery)).toBe('held');
    await letPass(ledger.db, 60);
    await end(ledger.db, first.delivery, 'dead');
    expect(await dueNow(ledger.db)).toEqual([second.delivery]);
    expect(await stateOf(ledger.db, second.delivery)).toBe('pending');
    expect(await stateOf(ledger.db, third.delivery)).toBe('held');
  });

  test('the replies of a topic are told where its first message is', async () => {
    const first = await record(ledger.db, { topic: 'INC-1' });
    await end(ledger.db, first.delivery, 'confirmed');
    const second = await record(ledger.db, { topic: 'INC-1' });
    expect(await take(ledger.db, second.delivery)).toMatchObject({ root: { url: 'https://chat.example.com/1' } });
  });

  test('nothing is sent after its deadline, nor when it was cancelled', async () => {
    const late = await record(ledger.db, { expiresAt: new Date(Date.now() + 3_600_000) });
    await letPass(ledger.db, 3_601);
    await refused(late.delivery);
    const unwanted = await record(ledger.db);
    await cancel(ledger.db, unwanted.id);
    expect(await refused(unwanted.delivery)).toMatchObject({ state: 'cancelled' });
  });
});

test('what was recorded in the moment in which its destination changed its kind is sent as the new kind', async () => {
  const { delivery } = await record(ledger.db, { to: [{ name: 'ops', kind: 'slack' }] });
  expect(await take(ledger.db, delivery)).toMatchObject({ kind: 'webhook' });
  expect(await row(ledger.db, delivery)).toMatchObject({ kind: 'webhook' });
  // One that may have been sent stays what it was sent as.
  await settleOne(ledger.db, { id: delivery, claim: 1 }, failed('transient'));
  await ledger.db.query(`update destinations set kind = 'jira'`);
  await letPass(ledger.db, 60);
  expect(await take(ledger.db, delivery)).toMatchObject({ kind: 'webhook' });
});

describe('the action', () => {
  test('is an edit for a copy that exists, and a retraction once the broadcast is taken back', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'confirmed');
    await revise(ledger.db, id, { title: 'Better', severity: 'info' });
    expect(await take(ledger.db, delivery)).toMatchObject({
      action: 'revise',
      revision: 2,
      message: { title: 'Better' },
    });
    await settleOne(ledger.db, { id: delivery, claim: 2 }, success);
    await retract(ledger.db, id);
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'retract', revision: 3, retracted: true });
  });

  test('of an open delivery sends only the newest text', async () => {
    const { id, delivery } = await record(ledger.db);
    await revise(ledger.db, id, { title: 'Better', severity: 'info' });
    expect(await take(ledger.db, delivery)).toMatchObject({
      action: 'deliver',
      revision: 2,
      message: { title: 'Better' },
    });
  });

  test('after an ambiguous send is a look, which is no try, reaching back to that send', async () => {
    const { delivery } = await record(ledger.db);
    const sent = await take(ledger.db, delivery);
    await settleOne(ledger.db, sent, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 6);
    const look = await take(ledger.db, delivery);
    expect(look).toMatchObject({ action: 'verify', claim: 2 });
    expect(look.since.getTime()).toBeLessThanOrEqual(sent.startedAt.getTime() - 6_000);
    expect(await row(ledger.db, delivery)).toMatchObject({ attempt: 1, claims: 2 });
  });

  test('is a send again only right after a look that found nothing; an older one is repeated first', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 121);
    await attempt(ledger.db, delivery, absent, { rules: verifiable });
    await letPass(ledger.db, 20);
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'verify' });
    await settleOne(ledger.db, { id: delivery, claim: 3 }, absent, { rules: verifiable });
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'deliver' });
  });

  test('looking goes on while the destination is paused, sending does not', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await pauseDestination(ledger.db, 'ops', 'maintenance');
    await letPass(ledger.db, 121);
    const look = await take(ledger.db, delivery);
    expect(look.action).toBe('verify');
    await settleOne(ledger.db, look, absent, { rules: verifiable });
    expect(await refused(delivery)).toMatchObject({ state: 'held' });
  });

  test('looking waits for an open breaker, and stays a look', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 6);
    await breaker(`now() + interval '1 minute'`);
    const { state, due_at } = await refused(delivery);
    expect(state).toBe('verifying');
    expect(secondsUntil(due_at)).toBeGreaterThan(50);
  });
});

test('a broadcast that was deleted by hand stands before no other, and nothing is left of it', async () => {
  const gone = await record(ledger.db);
  await attempt(ledger.db, gone.delivery, failed('transient'));
  await ledger.db.query('update deliveries set due_at = now() where id = $1', [gone.delivery]);
  const next = await record(ledger.db);
  await ledger.db.query('delete from broadcasts where id = $1', [gone.id]);
  const { claimed } = await claimDue(ledger.db, [{ destination: 'ops', places: 1, concurrency: 1, stepMs: null }]);
  expect(claimed.map(({ id }) => id)).toEqual([next.delivery]);
  const left = await ledger.db.query(
    'select delivery_id from attempts where delivery_id = $1 union all select id from deliveries where id = $1',
    [gone.delivery],
  );
  expect(left.rows).toEqual([]);
});
