import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createVault, destinationSecrets, type Vault } from '../../src/secrets.ts';
import { createConfigurations } from '../../workers/configurations.ts';
import { type Ledger, openLedger, putDestination, record, take } from '../support/ledger.ts';

const real = createVault(Buffer.alloc(32, 1));
let ledger: Ledger;
let opened: number;
let vault: Vault;

beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  opened = 0;
  vault = {
    ...real,
    open(sealed, context) {
      opened += 1;
      return real.open(sealed, context);
    },
  };
  await putDestination(ledger.db, 'ops');
  await store('first');
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

async function store(token: string, key = real): Promise<void> {
  await ledger.db.query(`update destinations set secrets = $1, updated_at = clock_timestamp() where name = 'ops'`, [
    key.seal({ token }, destinationSecrets('ops')),
  ]);
}
const claimed = async () => take(ledger.db, (await record(ledger.db)).delivery);

test('the secrets of a destination are opened once for many attempts', async () => {
  const configurationOf = createConfigurations(vault);
  const [first, second] = [configurationOf(await claimed()), configurationOf(await claimed())];
  expect(second).toBe(first);
  expect(opened).toBe(1);
});

test('a destination that was changed is opened anew, and its new secrets are used at once', async () => {
  const configurationOf = createConfigurations(vault);
  configurationOf(await claimed());
  await store('second');
  expect(configurationOf(await claimed()).secrets).toEqual({ token: 'second' });
});

test('secrets that could not be opened are tried again at the next attempt', async () => {
  const configurationOf = createConfigurations(vault);
  await store('lost', createVault(Buffer.alloc(32, 2)));
  const one = await claimed();
  expect(() => configurationOf(one)).toThrow(/another key/);
  expect(() => configurationOf(one)).toThrow(/another key/);
});
