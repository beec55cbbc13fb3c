import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { attempt, type Ledger, openLedger, putDestination, type Recorded, record, success } from '../support/ledger.ts';

let ledger: Ledger;
let broadcast: Recorded;

beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  await putDestination(ledger.db, 'ops');
  broadcast = await record(ledger.db);
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

async function set(table: string, change: string): Promise<void> {
  await ledger.db.query(`update ${table} set ${change}`);
}

const refused = /violates (check|unique|foreign key|not-null) constraint/;

describe('a delivery', () => {
  test.each([
    ['in a state that does not exist', `state = 'lost', due_at = null`],
    ['final without an end', `state = 'dead', due_at = null`],
    ['open with an end', 'ended_at = now()'],
    ['final and still due', `state = 'dead', ended_at = now()`],
    ['pending without a time', 'due_at = null'],
    ['retrying without a time', `state = 'retrying', due_at = null`],
    ['verifying without a time', `state = 'verifying', due_at = null`],
    ['held and due', `state = 'held', hold = 'topic'`],
    ['held without a reason', `state = 'held', due_at = null`],
    ['held for a reason that does not exist', `state = 'held', due_at = null, hold = 'mood'`],
    ['pending with a reason to be held', `hold = 'topic'`],
    ['sending without a lease', `state = 'sending', due_at = null, action = 'deliver', sending_revision = 1`],
    ['sending nothing', `state = 'sending', due_at = null, lease_until = now()`],
    ['leased without being sent', 'lease_until = now()'],
    ['with an action without being sent', `action = 'deliver', sending_revision = 1`],
    [
      'doing what cannot be done',
      `state = 'sending', due_at = null, lease_until = now(), action = 'shout', sending_revision = 1`,
    ],
    ['confirmed short of what is desired', `state = 'confirmed', due_at = null, ended_at = now()`],
    ['confirmed beyond what is desired', `confirmed = 2, receipt = '{}'`],
    ['confirmed without a receipt', 'confirmed = 1'],
    ['that desires nothing', 'desired = 0'],
    ['with fewer than no attempts', 'attempt = -1'],
    ['with more uncounted attempts than attempts', 'uncounted = 1'],
    ['with no attempts allowed', 'max_attempts = 0'],
    ['that is neither message nor callback', `role = 'poem'`],
    ['that is a callback and says nothing', `role = 'callback'`],
    ['that is a message and says an event', `event = '{}'`],
  ])('%s cannot be stored', async (_, change) => {
    await expect(set('deliveries', change)).rejects.toThrow(refused);
  });

  test('exists once for each destination of a broadcast', async () => {
    await putDestination(ledger.db, 'other');
    await record(ledger.db, { to: ['ops', 'other'] });
    await expect(set('deliveries', `destination = 'ops'`)).rejects.toThrow(/deliveries_once_per_destination/);
  });
});

describe('a broadcast', () => {
  test.each([
    ['in a state that does not exist', `state = 'lost'`],
    ['converging with a time at which it converged', 'converged_at = now()'],
    ['converged without the time', `state = 'delivered'`],
    ['without a revision', 'revision = 0'],
    ['of no known severity', `severity = 'loud'`],
    ['with an idempotency key and no request to compare', `idempotency_key = 'k'`],
    ['with a request hash and no key', `request_hash = ''`],
  ])('%s cannot be stored', async (_, change) => {
    await expect(set('broadcasts', change)).rejects.toThrow(refused);
  });

  test('has an idempotency key for itself', async () => {
    await record(ledger.db);
    await expect(set('broadcasts', `idempotency_key = 'k', request_hash = ''`)).rejects.toThrow(/unique constraint/);
  });

  test('takes its texts along when it is removed', async () => {
    await ledger.db.query('delete from broadcasts');
    expect((await ledger.db.query('select from revisions')).rowCount).toBe(0);
  });
});

describe('a revision', () => {
  test.each([
    ['numbered zero', 'revision = 0'],
    ['of a broadcast that does not exist', `broadcast_id = 'bc_nowhere'`],
  ])('%s cannot be stored', async (_, change) => {
    await expect(set('revisions', change)).rejects.toThrow(refused);
  });
});

describe('an attempt', () => {
  test.each([
    ['that finished without an outcome', 'outcome = null'],
    ['with an outcome that never finished', 'finished_at = null'],
    ['at what cannot be done', `action = 'shout'`],
  ])('%s cannot be stored', async (_, change) => {
    await attempt(ledger.db, broadcast.delivery, success);
    await expect(set('attempts', change)).rejects.toThrow(refused);
  });

  test('has its number for itself', async () => {
    await attempt(ledger.db, broadcast.delivery, success);
    await expect(ledger.db.query('insert into attempts select * from attempts')).rejects.toThrow(/attempts_pkey/);
  });
});

describe('a destination', () => {
  test.each([
    ['with a name that cannot stand in a URL', `name = 'Ops Team'`],
    ['with a name that is too long', `name = repeat('a', 64)`],
    ['paused without a reason', 'paused_at = now()'],
    ['with a reason for a pause that is not', `pause_reason = 'why not'`],
    ['that probes a breaker which is closed', `probe = 'dl_1'`],
    ['that is its own fallback', 'fallback = name'],
    ['that falls back to nowhere', `fallback = 'nowhere'`],
  ])('%s cannot be stored', async (_, change) => {
    await expect(set('destinations', change)).rejects.toThrow(refused);
  });
});

describe('an audience', () => {
  test('of nobody cannot be stored', async () => {
    await expect(ledger.db.query(`insert into audiences (name, destinations) values ('p1', '{}')`)).rejects.toThrow(
      refused,
    );
  });
});

describe('an API key', () => {
  test.each([
    ['that may do nothing', '{}'],
    ['that may do what does not exist', '{everything}'],
  ])('%s cannot be stored', async (_, scopes) => {
    await expect(
      ledger.db.query(`insert into api_keys (id, name, hash, scopes) values ('key_1', 'k', '', $1)`, [scopes]),
    ).rejects.toThrow(refused);
  });
});
