import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { claim } from '../../src/ledger/claim.ts';
import { isAboutStatement } from '../../src/ledger/database.ts';
import { createLog } from '../../src/log.ts';
import { createVault, destinationSecrets } from '../../src/secrets.ts';
import { createAttempt, instant } from '../../workers/attempt.ts';
import type { Parts } from '../../workers/parts.ts';
import { type Ledger, openLedger, putDestination, record, row } from '../support/ledger.ts';

const vault = createVault(randomBytes(32));
const log = createLog('silent');
const over = new AbortController();
let ledger: Ledger;
let sandbox: Sandbox;
let network: Network;
let attempt: ReturnType<typeof createAttempt>;

beforeAll(async () => {
  ledger = await openLedger();
  sandbox = await startSandbox();
  network = createNetwork({ allowPrivateNetworks: true });
  attempt = createAttempt({ db: ledger.db, vault, network, log } as unknown as Parts, over.signal);
});
afterAll(async () => {
  over.abort();
  await network?.close();
  await sandbox?.close();
  await ledger?.close();
});

async function place(name: string, channel: string): Promise<void> {
  await putDestination(ledger.db, name, { kind: 'slack' });
  await ledger.db.query('update destinations set settings = $2, secrets = $3 where name = $1', [
    name,
    { channel, apiUrl: sandbox.addresses.slackApiUrl },
    vault.seal({ token: `xoxb-${name}` }, destinationSecrets(name)),
  ]);
}

test('a receipt that the ledger can never store becomes a doubt, which is neither dead nor sent again', async () => {
  await place('cursed', 'C0CURSED');
  await place('blessed', 'C0BLESSED');
  // An error of the server that its SQLSTATE does not blame on the data: XX000 and its like.
  await ledger.db.query(`
    create function refuse() returns trigger language plpgsql as $$
    begin
      raise exception 'too much' using errcode = 'XX000';
    end $$;
    create trigger refuse before update on deliveries for each row
      when (new.receipt ->> 'channel' = 'C0CURSED') execute function refuse()`);
  const [cursed, blessed] = await Promise.all(
    ['cursed', 'blessed'].map((name) => record(ledger.db, { to: [{ name, kind: 'slack' }] })),
  );
  if (!cursed || !blessed) throw new Error('nothing was recorded');
  const claimed = await claim(ledger.db, [cursed.delivery, blessed.delivery]);
  await Promise.all(claimed.map((each) => attempt(each, instant())));

  expect(await row(ledger.db, cursed.delivery)).toMatchObject({
    state: 'verifying',
    last_error: { class: 'ambiguous', reason: 'unreadable_reply' },
  });
  expect(await row(ledger.db, blessed.delivery)).toMatchObject({ state: 'confirmed' });
  expect(sandbox.slack.channel('C0CURSED')).toHaveLength(1);
});

test('what our own code cannot write is told from a database that cannot be reached', () => {
  const coded = (code: string) => Object.assign(new Error('no'), { code });
  const own = [new RangeError('Invalid string length'), new TypeError('BigInt'), coded('54000'), coded('XX000')];
  const passing = [
    new Error('Connection terminated unexpectedly'),
    new Error('timeout exceeded when trying to connect'),
    new Error('Query read timeout'),
    ...['ECONNREFUSED', 'ECONNRESET', '57P01', '57014', '53300', '08006', '55P03', '25P03', '25P04'].map(coded),
  ];
  expect(own.map(isAboutStatement)).toEqual(own.map(() => true));
  expect(passing.map(isAboutStatement)).toEqual(passing.map(() => false));
});
