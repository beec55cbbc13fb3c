import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { accept } from '../../src/ledger/accept.ts';
import { transaction } from '../../src/ledger/database.ts';
import { readBroadcast } from '../../src/ledger/read-broadcast.ts';
import { retract, revise } from '../../src/ledger/revise.ts';
import {
  attempt,
  claimOne,
  failed,
  intent,
  type Ledger,
  letPass,
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
import { until } from '../support/until.ts';

let ledger: Ledger;
beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  await ledger.clear();
  await putDestination(ledger.db, 'ops');
});
afterAll(() => ledger?.close());

const forbidden = { class: 'permanent', reason: 'test', message: 'No.', status: 403, retryAfterMs: null } as const;
const better = { title: 'Better', severity: 'info' } as const;

describe('taking back what may have landed', () => {
  test('reaches a send that is cured by repeating, under its own key', async () => {
    const { db } = ledger;
    const { id, delivery } = await record(db);
    await attempt(db, delivery, failed('ambiguous'));
    await retract(db, id);
    expect(await row(db, delivery)).toMatchObject({ state: 'retrying', desired: 2, confirmed: 0 });
    await letPass(db, 600);
    expect(await take(db, delivery)).toMatchObject({ action: 'retract', revision: 2, receipt: null, retracted: true });
  });

  test('goes on until it succeeds, also past the deadline', async () => {
    const { db } = ledger;
    const { id, delivery } = await record(db, { expiresAt: new Date(Date.now() + 60_000) });
    await attempt(db, delivery, failed('ambiguous'));
    await retract(db, id);
    await letPass(db, 600);
    await attempt(db, delivery, failed('transient'));
    await letPass(db, 600);
    await attempt(db, delivery, success);
    expect(await row(db, delivery)).toMatchObject({ state: 'confirmed', desired: 2, confirmed: 2, doubtful: false });
  });

  test('comes also where the delivery had ended dead or unknown', async () => {
    const { db } = ledger;
    const dead = await record(db, { to: [{ name: 'ops', maxAttempts: 1 }] });
    await attempt(db, dead.delivery, failed('ambiguous'));
    expect((await row(db, dead.delivery)).state).toBe('dead');
    await retract(db, dead.id);
    expect(await take(db, dead.delivery)).toMatchObject({ action: 'retract' });

    const unknown = await record(db);
    await attempt(db, unknown.delivery, failed('ambiguous'), { rules: verifiable });
    await letPass(db, 600);
    await attempt(db, unknown.delivery, { is: 'unclear', fault: forbidden }, { rules: verifiable });
    expect((await row(db, unknown.delivery)).state).toBe('unknown');
    await retract(db, unknown.id);
    expect(await take(db, unknown.delivery)).toMatchObject({ action: 'verify' });
  });
});

describe('a newer text', () => {
  test('is tried although the one in flight was refused', async () => {
    const { db } = ledger;
    const { id, delivery } = await record(db);
    const claimed = await take(db, delivery);
    await revise(db, id, better);
    await settleOne(db, claimed, failed('permanent'));
    expect(await take(db, delivery)).toMatchObject({ action: 'deliver', revision: 2, message: better });
  });

  test('has all its tries before it', async () => {
    const { db } = ledger;
    const { id, delivery } = await record(db, { to: [{ name: 'ops', maxAttempts: 2 }] });
    await attempt(db, delivery, failed('transient'));
    await revise(db, id, better);
    for (const state of ['retrying', 'dead']) {
      await letPass(db, 600);
      await attempt(db, delivery, failed('transient'));
      expect((await row(db, delivery)).state).toBe(state);
    }
  });
});

describe('a thread', () => {
  const topic = 'INC-1';
  const at = (ts: string) => ({ is: 'success' as const, receipt: { at: '', url: null, ts } });

  test('is begun anew where its first message is gone, and what follows goes under the new one', async () => {
    const { db } = ledger;
    const one = await record(db, { title: 'One', topic });
    const two = await record(db, { title: 'Two', topic });
    const three = await record(db, { title: 'Three', topic });
    await attempt(db, one.delivery, at('1'));
    const under = await take(db, two.delivery);
    expect(under.root).toMatchObject({ ts: '1' });
    await settleOne(db, under, failed('permanent', { rootGone: true }));
    const alone = await take(db, two.delivery);
    expect(alone).toMatchObject({ action: 'deliver', root: null });
    await settleOne(db, alone, at('2'));
    expect((await take(db, three.delivery)).root).toMatchObject({ ts: '2' });
  });

  test('is where a lost reply is looked for, also once its first message was retracted', async () => {
    const { db } = ledger;
    const one = await record(db, { topic });
    await attempt(db, one.delivery, at('1'));
    const two = await record(db, { topic });
    await attempt(db, two.delivery, failed('ambiguous'), { rules: verifiable });
    await retract(db, one.id);
    await letPass(db, 10);
    expect(await take(db, two.delivery)).toMatchObject({ action: 'verify', root: { ts: '1' } });
  });

  test('keeps the order in which its broadcasts became visible, whoever accepts them', async () => {
    const { db } = ledger;
    const later = intent({ topic });
    let accepted = false;
    let waiting: Promise<unknown> = Promise.resolve();
    await transaction(db, async (client) => {
      // Another process's accept, which is not committed yet.
      await accept(client as never, [intent({ topic })]);
      waiting = accept(db, [later]).then(() => (accepted = true));
      await until('the second to wait for the first', async () => {
        const { rows } = await client.query(`select from pg_locks where locktype = 'advisory' and not granted`);
        return rows.length > 0;
      });
      expect(accepted).toBe(false);
    });
    await waiting;
    expect(await claimOne(db, later.deliveries[0]?.id ?? '')).toBeNull();
    expect(await stateOf(db, later.deliveries[0]?.id ?? '')).toBe('held');
  });
});

test('cross-linking ends although a service gives its message another permalink with every edit', async () => {
  const { db } = ledger;
  await putDestination(db, 'chat', { kind: 'slack' });
  const { id, deliveries } = await record(db, { to: ['ops', { name: 'chat', kind: 'slack' }], crossLink: true });
  const [ops = '', chat = ''] = deliveries;
  const at = (n: number) => ({
    is: 'success' as const,
    receipt: { at: '2026-03-02T12:00:00.000Z', url: `https://chat.example.com/${n}` },
  });
  await attempt(db, ops, at(1_000));
  let edits = 0;
  for (let n = 0; n < 20 && (await row(db, chat)).state === 'pending'; n++) {
    await attempt(db, chat, at(n));
    edits += 1;
  }
  expect((await row(db, chat)).state).toBe('confirmed');
  expect(edits).toBeLessThanOrEqual(4);
  expect((await readBroadcast(db, id))?.broadcast.state).toBe('delivered');
});
