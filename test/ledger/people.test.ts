import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cancel } from '../../src/ledger/cancel.ts';
import { countRetryable, retry } from '../../src/ledger/retry.ts';
import { retract, revise } from '../../src/ledger/revise.ts';
import {
  absent,
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
  for (const name of ['ops', 'chat', 'mail']) await putDestination(ledger.db, name);
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

const better = { title: 'Better', severity: 'critical' as const };
const everything = ['dead', 'unknown', 'expired'] as const;
const states = async (ids: readonly string[]) => Promise.all(ids.map((id) => stateOf(ledger.db, id)));
const broadcast = (id: string) =>
  one<{ state: string; revision: number; retracted: boolean; severity: string }>(
    ledger.db,
    'select state, revision, retracted, severity from broadcasts where id = $1',
    [id],
  );

describe('cancelling', () => {
  test('ends what was not sent, leaves what was, and waits for what is in flight', async () => {
    const { id, deliveries } = await record(ledger.db, { to: ['ops', 'chat', 'mail'] });
    const [sent = '', sending = '', waiting = ''] = deliveries;
    await end(ledger.db, sent, 'confirmed');
    const claimed = await take(ledger.db, sending);
    expect(await cancel(ledger.db, id)).toBe(true);
    expect(await states(deliveries)).toEqual(['confirmed', 'sending', 'cancelled']);
    expect((await broadcast(id)).state).toBe('converging');
    await settleOne(ledger.db, claimed, failed('transient'));
    expect(await states([sending, waiting])).toEqual(['cancelled', 'cancelled']);
    expect((await broadcast(id)).state).toBe('partial');
  });

  test('of everything makes the broadcast cancelled', async () => {
    const { id } = await record(ledger.db, { to: ['ops', 'chat'] });
    await cancel(ledger.db, id);
    expect((await broadcast(id)).state).toBe('cancelled');
  });

  test('keeps looking for what may have landed, and ends it by what is found', async () => {
    const { id, deliveries } = await record(ledger.db, { to: ['ops', 'chat'] });
    const [there = '', lost = ''] = deliveries;
    for (const each of deliveries) await attempt(ledger.db, each, failed('ambiguous'), { rules: verifiable });
    await cancel(ledger.db, id);
    expect(await states(deliveries)).toEqual(['verifying', 'verifying']);
    await letPass(ledger.db, 130);
    const receipt = { at: '2026-03-02T12:00:00.000Z', url: null };
    await attempt(ledger.db, there, { is: 'landed', receipt, revision: 1 }, { rules: verifiable });
    await attempt(ledger.db, lost, absent, { rules: verifiable });
    expect(await states(deliveries)).toEqual(['confirmed', 'cancelled']);
  });

  test('twice is the same as once, and of nothing says so', async () => {
    const { id, delivery } = await record(ledger.db);
    await cancel(ledger.db, id);
    const before = await row(ledger.db, delivery);
    expect(await cancel(ledger.db, id)).toBe(true);
    expect(await row(ledger.db, delivery)).toEqual(before);
    expect(await cancel(ledger.db, 'bc_nowhere')).toBe(false);
  });

  test('lets the next broadcast of the topic go', async () => {
    const first = await record(ledger.db, { topic: 'INC-1' });
    const second = await record(ledger.db, { topic: 'INC-1' });
    await cancel(ledger.db, first.id);
    await take(ledger.db, second.delivery);
  });

  test('while the last outcome is being settled leaves nothing open, whoever comes first', async () => {
    for (let round = 0; round < 20; round++) {
      const { id, delivery } = await record(ledger.db);
      const claimed = await take(ledger.db, delivery);
      await Promise.all([cancel(ledger.db, id), settleOne(ledger.db, claimed, failed('rate_limited'))]);
      await letPass(ledger.db, 60);
      expect(await stateOf(ledger.db, delivery)).toBe('cancelled');
    }
  });
});

describe('trying again', () => {
  test('opens what ended dead or unknown, with all its attempts before it, and the broadcast with it', async () => {
    const { id, deliveries } = await record(ledger.db, { to: ['ops', 'chat', 'mail'] });
    const [dead = '', unknown = '', confirmed = ''] = deliveries;
    await end(ledger.db, dead, 'dead');
    await end(ledger.db, unknown, 'unknown');
    await end(ledger.db, confirmed, 'confirmed');
    expect((await broadcast(id)).state).toBe('partial');
    expect(await countRetryable(ledger.db, { states: everything, broadcastId: id })).toBe(2);
    expect(await retry(ledger.db, { states: everything, broadcastId: id })).toBe(2);
    expect(await states(deliveries)).toEqual(['pending', 'pending', 'confirmed']);
    expect(await row(ledger.db, dead)).toMatchObject({ attempt: 0, uncounted: 0, ended_at: null });
    expect((await broadcast(id)).state).toBe('converging');
    expect(await dueNow(ledger.db)).toEqual([dead, unknown].sort());
  });

  test('pressed twice does it once, even at the same instant', async () => {
    const { delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'dead');
    const filter = { states: everything, id: delivery };
    expect((await Promise.all([retry(ledger.db, filter), retry(ledger.db, filter)])).sort()).toEqual([0, 1]);
    expect(await retry(ledger.db, filter)).toBe(0);
  });

  test('goes by state, destination and time of the end', async () => {
    const first = await record(ledger.db, { to: ['ops', 'chat'] });
    for (const id of first.deliveries) await end(ledger.db, id, 'dead');
    const count = (filter: object) => countRetryable(ledger.db, { states: ['dead'], ...filter });
    expect(await count({ destination: 'ops' })).toBe(1);
    expect(await count({ states: ['unknown'] })).toBe(0);
    expect(await count({ since: new Date(Date.now() + 60_000) })).toBe(0);
    expect(await count({ until: new Date(Date.now() + 60_000) })).toBe(2);
    expect(await count({ until: new Date(Date.now() - 60_000) })).toBe(0);
  });

  test('looks first where the message may have landed', async () => {
    const { delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(ledger.db, 6);
    const forbidden = { class: 'permanent', reason: 'no_permission', message: 'No.', status: 403, retryAfterMs: null };
    await attempt(
      ledger.db,
      delivery,
      { is: 'unclear', fault: { ...forbidden, class: 'permanent' } },
      { rules: verifiable },
    );
    expect(await stateOf(ledger.db, delivery)).toBe('unknown');
    await retry(ledger.db, { states: everything, id: delivery });
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'verify' });
  });

  test('forgets a deadline that has passed', async () => {
    const { delivery } = await record(ledger.db, { expiresAt: new Date(Date.now() + 60_000) });
    const claimed = await take(ledger.db, delivery);
    await letPass(ledger.db, 70);
    await settleOne(ledger.db, claimed, failed('transient'));
    expect(await stateOf(ledger.db, delivery)).toBe('expired');
    await retry(ledger.db, { states: ['expired'], id: delivery });
    await take(ledger.db, delivery);
  });

  test('sends the newest text, not the one that failed', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'dead');
    await revise(ledger.db, id, better);
    await retry(ledger.db, { states: everything, broadcastId: id });
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'deliver', revision: 2, message: better });
  });

  test('leaves alone what was taken back before it was ever said', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'dead');
    await retract(ledger.db, id);
    expect(await countRetryable(ledger.db, { states: everything })).toBe(0);
    expect(await retry(ledger.db, { states: everything })).toBe(0);
    expect(await stateOf(ledger.db, delivery)).toBe('dead');
  });

  test('leaves out what has no destination any more', async () => {
    const { delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'dead');
    await ledger.db.query(`delete from destinations where name = 'ops'`);
    expect(await countRetryable(ledger.db, { states: everything })).toBe(0);
    expect(await retry(ledger.db, { states: everything })).toBe(0);
  });

  test('takes up a dead callback as well', async () => {
    const callback = { url: 'https://hooks.example.com', events: ['broadcast.converged'] };
    const { id, delivery } = await record(ledger.db, { callback });
    await revise(ledger.db, id, better);
    await end(ledger.db, delivery, 'confirmed');
    const [call] = await callbacks(ledger.db, id);
    await end(ledger.db, call?.id ?? '', 'dead');
    expect(await retry(ledger.db, { states: ['dead'], id: call?.id ?? '' })).toBe(1);
    await end(ledger.db, call?.id ?? '', 'confirmed');
    expect((await broadcast(id)).state).toBe('delivered');
  });
});

describe('a revision', () => {
  test('edits the copies that exist, and replaces the text of what is still open', async () => {
    const { id, deliveries } = await record(ledger.db, { to: ['ops', 'chat'] });
    const [sent = '', waiting = ''] = deliveries;
    await end(ledger.db, sent, 'confirmed');
    expect(await revise(ledger.db, id, better)).toBe('revised');
    expect(await revise(ledger.db, id, { ...better })).toBe('unchanged');
    expect(await broadcast(id)).toMatchObject({ state: 'converging', revision: 2, severity: 'critical' });
    expect(await row(ledger.db, sent)).toMatchObject({ state: 'pending', desired: 2, confirmed: 1, priority: 1 });
    expect(await take(ledger.db, sent)).toMatchObject({ action: 'revise', message: better });
    expect(await take(ledger.db, waiting)).toMatchObject({ action: 'deliver', message: better });
  });

  test('opens a converged broadcast again, and its end closes it again', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'confirmed');
    await revise(ledger.db, id, better);
    expect((await broadcast(id)).state).toBe('converging');
    await attempt(ledger.db, delivery, success);
    expect((await broadcast(id)).state).toBe('delivered');
  });

  test('edits a copy again whose last edit had failed', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'confirmed');
    await revise(ledger.db, id, better);
    await attempt(ledger.db, delivery, failed('permanent'));
    expect(await stateOf(ledger.db, delivery)).toBe('dead');
    await revise(ledger.db, id, { ...better, title: 'Best' });
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'revise', revision: 3 });
  });

  test('leaves dead what never arrived: a person decides about that', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'dead');
    await revise(ledger.db, id, better);
    expect(await stateOf(ledger.db, delivery)).toBe('dead');
    expect((await broadcast(id)).state).toBe('failed');
  });

  test('during an attempt follows it', async () => {
    const { id, delivery } = await record(ledger.db);
    const claimed = await take(ledger.db, delivery);
    await revise(ledger.db, id, better);
    expect(await stateOf(ledger.db, delivery)).toBe('sending');
    await settleOne(ledger.db, claimed, failed('transient'));
    await letPass(ledger.db, 60);
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'deliver', revision: 2 });
  });

  test('of nothing says so', async () => {
    expect(await revise(ledger.db, 'bc_nowhere', better)).toBe('missing');
  });
});

describe('a retraction', () => {
  test('takes back what was sent, and does not send what was not', async () => {
    const { id, deliveries } = await record(ledger.db, { to: ['ops', 'chat'] });
    const [sent = '', waiting = ''] = deliveries;
    await end(ledger.db, sent, 'confirmed');
    expect(await retract(ledger.db, id)).toBe('retracted');
    expect(await stateOf(ledger.db, waiting)).toBe('superseded');
    expect(await take(ledger.db, sent)).toMatchObject({ action: 'retract', revision: 2, retracted: true });
    await settleOne(ledger.db, { id: sent, claim: 2 }, success);
    expect(await stateOf(ledger.db, sent)).toBe('confirmed');
  });

  test('does not overtake its own delivery: what is in flight is settled, then taken back', async () => {
    const { id, delivery } = await record(ledger.db);
    const claimed = await take(ledger.db, delivery);
    await retract(ledger.db, id);
    expect(await claimOne(ledger.db, delivery)).toBeNull();
    expect(await stateOf(ledger.db, delivery)).toBe('sending');
    expect(await settleOne(ledger.db, claimed, success)).toMatchObject({ state: 'pending' });
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'retract' });
  });

  test('looks for what may have landed before it believes that nothing is there', async () => {
    const { id, delivery } = await record(ledger.db);
    await attempt(ledger.db, delivery, failed('ambiguous'), { rules: verifiable });
    await retract(ledger.db, id);
    await letPass(ledger.db, 130);
    const receipt = { at: '2026-03-02T12:00:00.000Z', url: null };
    await attempt(ledger.db, delivery, { is: 'landed', receipt, revision: 1 }, { rules: verifiable });
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'retract', revision: 2 });
  });

  test('takes back a copy whose last edit had failed too', async () => {
    const { id, delivery } = await record(ledger.db);
    await end(ledger.db, delivery, 'confirmed');
    await revise(ledger.db, id, better);
    await attempt(ledger.db, delivery, failed('permanent'));
    await retract(ledger.db, id);
    expect(await take(ledger.db, delivery)).toMatchObject({ action: 'retract', revision: 3 });
  });

  test('twice is the same as once, and after it nothing is said any more', async () => {
    const { id } = await record(ledger.db);
    await retract(ledger.db, id);
    expect(await retract(ledger.db, id)).toBe('retracted');
    expect(await revise(ledger.db, id, better)).toBe('retracted');
    expect(await broadcast(id)).toMatchObject({ state: 'cancelled', revision: 2, retracted: true });
    expect(await retract(ledger.db, 'bc_nowhere')).toBe('missing');
  });
});
