import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  attempt,
  callbacks,
  failed,
  type Ledger,
  one,
  openLedger,
  putDestination,
  receipt,
  record,
  row,
} from '../support/ledger.ts';

// PostgreSQL has no room for NUL in text, and none for unpaired surrogates in jsonb. What a service says may hold both.

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  await putDestination(ledger.db, 'oncall', { kind: 'pagerduty' });
  await putDestination(ledger.db, 'ops', { fallback: 'oncall' });
  await putDestination(ledger.db, 'chat', { kind: 'slack' });
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

const everything = ['broadcast.converged', 'broadcast.updated', 'delivery.confirmed', 'delivery.dead'];
const callback = { url: 'https://hooks.example.com', events: everything };

describe.each([
  ['a NUL', 'a\0b'],
  ['half a surrogate pair', 'a\ud800b'],
])('%s in what a service says', (_, text) => {
  const clean = 'a\ufffdb';

  test('does not keep an outcome with its callbacks and its fallback from being written', async () => {
    const { id, delivery } = await record(ledger.db, { callback });
    expect(await attempt(ledger.db, delivery, failed('permanent', { message: text, reason: text }))).toMatchObject({
      state: 'dead',
    });
    const { last_error: error, escalated_to: to } = await row(ledger.db, delivery);
    expect([error?.message, error?.reason]).toEqual([clean, clean]);
    expect(to).not.toBeNull();
    expect((await callbacks(ledger.db, id)).length).toBeGreaterThan(0);
  });

  test('does not keep a destination whose credential was refused from being paused', async () => {
    const { delivery } = await record(ledger.db, { callback });
    const refused = failed('permanent', { credential: true, message: text, reason: 'token_revoked' });
    const { news } = await attempt(ledger.db, delivery, refused);
    const detail = `credential refused (token_revoked): ${clean}`;
    expect(news).toEqual([{ destination: 'ops', is: 'paused', detail }]);
    expect(await one(ledger.db, `select pause_reason from destinations where name = 'ops'`)).toEqual({
      pause_reason: detail,
    });
  });

  test('in a permalink does not keep a broadcast from naming it in the other copies, once', async () => {
    const { id, deliveries } = await record(ledger.db, {
      to: ['ops', { name: 'chat', kind: 'slack' }],
      crossLink: true,
    });
    const [ops = '', chat = ''] = deliveries;
    const told = { is: 'success' as const, receipt: { ...receipt, url: `https://chat.example.com/${text}` } };
    await attempt(ledger.db, chat, { is: 'success', receipt: { ...receipt, url: null } });
    await attempt(ledger.db, ops, told);
    expect(await row(ledger.db, chat)).toMatchObject({ state: 'pending', desired: 2, linking: true });
    await attempt(ledger.db, chat, { is: 'success', receipt: { ...receipt, url: null } });
    expect(await one(ledger.db, 'select state, linked from broadcasts where id = $1', [id])).toEqual({
      state: 'delivered',
      linked: [`https://chat.example.com/${clean}`],
    });
  });
});
