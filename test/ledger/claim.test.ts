import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cancel } from '../../src/ledger/cancel.ts';
import { claim } from '../../src/ledger/claim.ts';
import { pauseDestination } from '../../src/ledger/pause-destination.ts';
import { resumeDestination } from '../../src/ledger/resume-destination.ts';
import { retract, revise } from '../../src/ledger/revise.ts';
import {
  absent,
  attempt,
  claimOne,
  end,
  failed,
  type Ledger,
  letPass,
  one,
  openLedger,
  putDestination,
  record,
  rings,
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

const refused = (id: string, state: string) => expect.objectContaining({ is: 'refused', id, state });

async function breaker(until: string, probe: string | null = null): Promise<void> {
  await ledger.db.query(`update destinations set breaker_until = ${until}, probe = $1`, [probe]);
}

describe('a claim', () => {
  test('hands out everything that the attempt needs, and has written the attempt down', async () => {
    const { id, delivery } = await record(ledger.db, {
      topic: 'INC-1',
      metadata: { team: 'a' },
      message: { title: 'Down', severity: 'critical' },
    });
    expect(await claimOne(ledger.db, delivery)).toMatchObject({
      is: 'claimed',
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
    expect(await one(ledger.db, 'select * from attempts')).toMatchObject({
      delivery_id: delivery,
      n: 1,
      action: 'deliver',
      revision: 1,
      finished_at: null,
      outcome: null,
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
      expect(answers.map(({ is }) => is).sort()).toEqual(['claimed', 'refused']);
      expect(await row(ledger.db, delivery)).toMatchObject({ claims: 1, attempt: 1 });
    }
  });

  test('of one delivery twice within one batch is won by exactly one', async () => {
    const { delivery } = await record(ledger.db);
    const answers = await claim(ledger.db, [delivery, delivery]);
    expect(answers.map(({ is }) => is)).toEqual(['claimed', 'refused']);
    expect(answers[1]).toEqual(refused(delivery, 'sending'));
  });

  test('takes many at once, and answers each for itself', async () => {
    const one = await record(ledger.db);
    const other = await record(ledger.db);
    await end(ledger.db, other.delivery, 'dead');
    expect(await claim(ledger.db, [other.delivery, 'dl_nowhere', one.delivery])).toEqual([
      refused(other.delivery, 'dead'),
      { is: 'refused', id: 'dl_nowhere', state: null, waitMs: null, blocked: null },
      expect.objectContaining({ is: 'claimed', id: one.delivery }),
    ]);
  });

  test('of a delivery that is not due yet is refused until it is', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('rate_limited', { retryAfterMs: 60_000 }));
    const answer = await claimOne(ledger.db, delivery);
    expect(answer).toEqual(refused(delivery, 'retrying'));
    expect(answer.is === 'refused' && answer.waitMs).toBeGreaterThan(59_000);
    await letPass(ledger.db, 70);
    expect((await claimOne(ledger.db, delivery)).is).toBe('claimed');
  });

  test.each(['confirmed', 'dead', 'unknown'] as const)(
    'that comes after the delivery ended %s is refused, and nothing needs to look again',
    async (state) => {
      const { delivery } = await record(ledger.db);
      await end(ledger.db, delivery, state);
      expect(await claimOne(ledger.db, delivery)).toMatchObject({ is: 'refused', state, waitMs: null });
    },
  );

  test('that comes after the end is not asked to look again on account of an old rate limit either', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('rate_limited', { retryAfterMs: 1_000 }));
    await letPass(ledger.db, 60);
    await end(ledger.db, delivery, 'confirmed');
    expect(await claimOne(ledger.db, delivery)).toMatchObject({ is: 'refused', waitMs: null });
  });

  test('of what another one is sending is refused until the lease is over', async () => {
    const { delivery } = await record(ledger.db);
    await take(ledger.db, delivery);
    const again = await claimOne(ledger.db, delivery);
    expect(again).toEqual(refused(delivery, 'sending'));
    expect(again.is === 'refused' && again.waitMs).toBeGreaterThan(20_000);
  });
});

describe('what stands in the way', () => {
  test('a paused destination holds the delivery; resuming it rings it again', async () => {
    const { delivery } = await record(ledger.db);
    await pauseDestination(ledger.db, 'ops', 'maintenance');
    await ledger.db.query('delete from outbox');
    expect(await claimOne(ledger.db, delivery)).toMatchObject({ is: 'refused', state: 'held', waitMs: null });
    expect(await row(ledger.db, delivery)).toMatchObject({ state: 'held', hold: 'paused', attempt: 0 });
    // A ring that comes all the same changes nothing.
    expect(await claimOne(ledger.db, delivery)).toEqual(refused(delivery, 'held'));

    await resumeDestination(ledger.db, 'ops');
    expect(await rings(ledger.db)).toEqual([delivery]);
    await take(ledger.db, delivery);
  });

  test('an open breaker holds the delivery', async () => {
    const { delivery } = await record(ledger.db);
    await breaker(`now() + interval '1 minute'`);
    expect(await claimOne(ledger.db, delivery)).toEqual(refused(delivery, 'held'));
    expect(await row(ledger.db, delivery)).toMatchObject({ hold: 'breaker' });
  });

  test('a half-open breaker lets only the probe through', async () => {
    const probe = await record(ledger.db);
    const other = await record(ledger.db);
    await breaker(`now() - interval '1 second'`, probe.delivery);
    expect(await claimOne(ledger.db, other.delivery)).toEqual(refused(other.delivery, 'held'));
    await take(ledger.db, probe.delivery);
  });

  test('a rate limit of the credential refuses every destination that spends from it, until it is over', async () => {
    await putDestination(ledger.db, 'ops-too', { budget: 'token-a' });
    await putDestination(ledger.db, 'elsewhere', { budget: 'token-b' });
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('rate_limited', { retryAfterMs: 60_000 }));
    const sharing = await record(ledger.db, { to: ['ops-too'] });
    const answer = await claimOne(ledger.db, sharing.delivery);
    expect(answer).toEqual(refused(sharing.delivery, 'pending'));
    expect(answer.is === 'refused' && answer.waitMs).toBeGreaterThan(59_000);
    await take(ledger.db, (await record(ledger.db, { to: ['elsewhere'] })).delivery);
    await letPass(ledger.db, 70);
    await take(ledger.db, sharing.delivery);
  });

  test('a rate limit of a destination that shares none refuses that destination alone, and says so to its lane', async () => {
    await putDestination(ledger.db, 'alone');
    await putDestination(ledger.db, 'neighbour');
    await attempt(
      ledger.db,
      (await record(ledger.db, { to: ['alone'] })).delivery,
      failed('rate_limited', { retryAfterMs: 60_000 }),
    );
    const { deliveries } = await record(ledger.db, { to: ['alone', 'neighbour'] });
    const [alone = '', neighbour = ''] = deliveries;
    const answer = await claimOne(ledger.db, alone);
    expect(answer).toEqual(refused(alone, 'pending'));
    expect(answer.is === 'refused' && answer.blocked).toMatchObject({ destination: 'alone' });
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
    const answer = await claimOne(ledger.db, other.delivery);
    expect(answer).toEqual(refused(other.delivery, 'verifying'));
    expect(answer.is === 'refused' && answer.waitMs).toBeGreaterThan(50_000);
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
    expect(await claimOne(ledger.db, second.delivery)).toEqual(refused(second.delivery, 'held'));
    await attempt(ledger.db, first.delivery, failed('transient'));
    expect(await stateOf(ledger.db, second.delivery)).toBe('held');
    await letPass(ledger.db, 60);
    await ledger.db.query('delete from outbox');
    await end(ledger.db, first.delivery, 'dead');
    expect(await rings(ledger.db)).toEqual([second.delivery]);
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
    expect((await claimOne(ledger.db, late.delivery)).is).toBe('refused');
    const unwanted = await record(ledger.db);
    await cancel(ledger.db, unwanted.id);
    expect(await claimOne(ledger.db, unwanted.delivery)).toEqual(refused(unwanted.delivery, 'cancelled'));
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
    expect(await claimOne(ledger.db, delivery)).toEqual(refused(delivery, 'held'));
  });

  test('looking waits for an open breaker, and stays a look', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 6);
    await breaker(`now() + interval '1 minute'`);
    const answer = await claimOne(ledger.db, delivery);
    expect(answer).toEqual(refused(delivery, 'verifying'));
    expect(answer.is === 'refused' && answer.waitMs).toBeGreaterThan(50_000);
  });
});
