import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { assertKey } from '../src/key.ts';
import { createLog } from '../src/log.ts';
import { createVault, destinationSecrets } from '../src/secrets.ts';
import { type Ledger, openLedger, putDestination } from './support/ledger.ts';

const ours = createVault(Buffer.alloc(32, 1));
const theirs = createVault(Buffer.alloc(32, 2));
const log = createLog('silent');

let ledger: Ledger;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

async function store(name: string, vault = ours): Promise<void> {
  await putDestination(ledger.db, name);
  const sealed = vault.seal({}, destinationSecrets(name));
  await ledger.db.query('update destinations set secrets = $2 where name = $1', [name, sealed]);
}

test('a process that could open none of the secrets does not start, and says how to go on where the key is lost', async () => {
  for (const name of ['ops', 'chat']) await store(name, theirs);
  await expect(assertKey({ db: ledger.db, vault: ours, log })).rejects.toThrow(
    /another secret key.*2 dest.*TOCSIN_SECRET_KEY.*TOCSIN_SECRET_KEY_LOST=true/,
  );
});

test('one that can open some of them starts, and one that finds none at all', async () => {
  await assertKey({ db: ledger.db, vault: ours, log });
  await store('ops');
  await store('chat', theirs);
  await assertKey({ db: ledger.db, vault: ours, log });
});
