import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { cancel } from '../../src/ledger/cancel.ts';
import { claim } from '../../src/ledger/claim.ts';
import { transaction } from '../../src/ledger/database.ts';
import { revise } from '../../src/ledger/revise.ts';
import { sendProbes } from '../../src/ledger/send-probes.ts';
import {
  blind,
  failed,
  type Ledger,
  letPass,
  one,
  openLedger,
  putDestination,
  record,
  row,
  settleOne,
  success,
  take,
  verifiable,
} from '../support/ledger.ts';

/** Often enough that an interleaving of two statements that matters is met, and few enough to take a second. */
const rounds = 30;
const newer = { title: 'Better', severity: 'info' } as const;

let ledger: Ledger;

beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(() => putDestination(ledger.db, 'ops'));
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

describe('at the instant of a revision', () => {
  test('an outcome is not lost', async () => {
    for (let round = 0; round < rounds; round++) {
      const { id, delivery } = await record(ledger.db);
      const claimed = await take(ledger.db, delivery);
      const [revised, settled] = await Promise.all([
        revise(ledger.db, id, newer),
        settleOne(ledger.db, claimed, success, { rules: blind }),
      ]);
      expect([revised, settled.accepted]).toEqual(['revised', true]);
      expect(await row(ledger.db, delivery)).toMatchObject({ state: 'pending', confirmed: 1, desired: 2 });
    }
  });

  test('another revision and a cancellation still find the broadcast', async () => {
    for (let round = 0; round < rounds; round++) {
      const { id } = await record(ledger.db);
      const answers = await Promise.all([
        revise(ledger.db, id, newer),
        revise(ledger.db, id, { ...newer, title: 'Newest' }),
        cancel(ledger.db, id),
      ]);
      // The one that comes after the cancellation finds nothing left to be said.
      const found = expect.stringMatching(/^(revised|cancelled)$/);
      expect(answers).toEqual([found, found, true]);
    }
  });

  test('a claim takes the new text or the old one with its own number, and the delivery is never stranded', async () => {
    for (let round = 0; round < rounds; round++) {
      const { id, delivery } = await record(ledger.db);
      const [, [claimed]] = await Promise.all([revise(ledger.db, id, newer), claim(ledger.db, [delivery])]);
      // Meeting the revision in that very moment, it takes nothing, and is asked again.
      const had = claimed ?? (await take(ledger.db, delivery));
      expect(had.message.title === newer.title).toBe(had.revision === 2);
    }
  });
});

test('a probe that is sent or cancelled while another sweep chooses it is left alone', async () => {
  for (let round = 0; round < rounds; round++) {
    await ledger.db.query(`update destinations set breaker_until = now() - interval '1 second', probe = null`);
    const { id, delivery } = await record(ledger.db);
    await Promise.all([
      sendProbes(ledger.db),
      sendProbes(ledger.db).then(() => claim(ledger.db, [delivery])),
      cancel(ledger.db, id),
      sendProbes(ledger.db),
    ]);
    await ledger.db.query('delete from deliveries');
    await ledger.db.query('delete from broadcasts');
  }
});

test('what a service answers in bytes that jsonb has no room for is recorded all the same', async () => {
  const { delivery } = await record(ledger.db);
  const claimed = await take(ledger.db, delivery);
  const settled = await settleOne(ledger.db, claimed, failed('permanent', { message: 'PNG\u0000\ud800 is no JSON' }));
  expect(settled).toMatchObject({ accepted: true, state: 'dead' });
  expect(await row(ledger.db, delivery)).toMatchObject({ last_error: { message: 'PNG\ufffd\ufffd is no JSON' } });
});

test('a success that comes after its attempt was given up for lost is believed', async () => {
  const { delivery } = await record(ledger.db);
  const claimed = await take(ledger.db, delivery);
  await letPass(ledger.db, 60);
  await settleOne(ledger.db, claimed, failed('ambiguous', { reason: 'process_lost' }), { rules: verifiable });
  expect(await row(ledger.db, delivery)).toMatchObject({ state: 'verifying' });
  expect(await settleOne(ledger.db, claimed, success, { rules: verifiable })).toMatchObject({ accepted: true });
  expect(await row(ledger.db, delivery)).toMatchObject({ state: 'confirmed', confirmed: 1, suspect: null });
});

test('a transaction that loses a deadlock is run again', async () => {
  await putDestination(ledger.db, 'chat');
  let runs = 0;
  let met = 0;
  let meet: () => void = () => {};
  const both = new Promise<void>((resolve) => {
    meet = resolve;
  });
  let pass: () => void = () => {};
  const winner = new Promise<void>((resolve) => {
    pass = resolve;
  });
  const crossing = (first: string, second: string) =>
    transaction(ledger.db, async (client) => {
      runs += 1;
      // Before the winner has noticed that it may go on, the loser could take its first row again, and they would meet once more.
      if (runs === 3) await winner;
      await client.query('select from destinations where name = $1 for update', [first]);
      met += 1;
      if (met === 2) meet();
      await both;
      await client.query('select from destinations where name = $1 for update', [second]);
    }).then(pass);
  await Promise.all([crossing('ops', 'chat'), crossing('chat', 'ops')]);
  expect(runs).toBe(3);
  expect(await one(ledger.db, 'select count(*)::int as n from destinations')).toEqual({ n: 2 });
});
