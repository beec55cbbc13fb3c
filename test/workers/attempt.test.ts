import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { createNetwork } from '../../src/destinations/network.ts';
import { createLog } from '../../src/log.ts';
import { createVault, destinationSecrets } from '../../src/secrets.ts';
import { createAttempt, instant } from '../../workers/attempt.ts';
import type { Parts } from '../../workers/parts.ts';
import {
  claimOne,
  type Ledger,
  letPass,
  one,
  openLedger,
  putDestination,
  record,
  row,
  stateOf,
} from '../support/ledger.ts';
import { until } from '../support/until.ts';

const vault = createVault(Buffer.alloc(32, 1));
const network = createNetwork({ allowPrivateNetworks: true });

let ledger: Ledger;
let receiver: Server;
let heard: number;
let lines: string[];
let onConnection: () => void;
/** Claims a delivery and makes its attempt, as a drainer does. */
let attempt: (id: string) => Promise<unknown>;

beforeAll(async () => {
  ledger = await openLedger();
  // Here a lock is waited for until the test lets go of it, on however slow a machine.
  ledger.db.options.options += ' -c lock_timeout=0';
  receiver = createServer((request, response) => {
    heard += 1;
    const echoes = request.url === '/echo';
    request.resume().once('end', () => {
      if (echoes) response.writeHead(400).end(`what is ${request.headers.authorization}?`);
      else response.end();
    });
  });
  receiver.on('connection', () => onConnection());
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  const parts = {
    db: ledger.db,
    vault,
    network,
    log: createLog('info', { write: (line) => void lines.push(line) }),
  } as unknown as Parts;
  const make = createAttempt(parts, new AbortController().signal);
  attempt = async (id) => {
    const lease = instant();
    const claimed = await claimOne(ledger.db, id);
    return claimed && make(claimed, lease);
  };
});
beforeEach(async () => {
  heard = 0;
  lines = [];
  onConnection = () => {};
  await put('ops');
});
afterEach(async () => {
  vi.useRealTimers();
  receiver.closeAllConnections();
  await ledger.clear();
});
afterAll(async () => {
  await network.close();
  await new Promise((resolve) => receiver?.close(resolve));
  await ledger.close();
});

async function put(name: string, { kind = 'webhook', key = vault, path = '/', headers = {} } = {}): Promise<void> {
  await putDestination(ledger.db, name, { kind });
  const { port } = receiver.address() as AddressInfo;
  const settings = JSON.stringify({ url: `http://127.0.0.1:${port}${path}`, headers });
  const secrets = key.seal({}, destinationSecrets(name));
  await ledger.db.query('update destinations set settings = $2, secrets = $3 where name = $1', [
    name,
    settings,
    secrets,
  ]);
}

/** As if the machine had slept: its steady clock stood still, and the wall's goes on from where the world is. */
function sleep(ms: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + ms });
}

/** Runs `lock` in a session of its own, begins `work`, and lets go when `work` waits for the lock and `meanwhile` is over. */
async function behind<T>(lock: string, work: () => Promise<T>, meanwhile: () => void): Promise<T> {
  const client = await ledger.db.connect();
  try {
    await client.query('begin');
    await client.query(lock);
    const done = work();
    await until('it to wait for the lock', async () => {
      const { rowCount } = await ledger.db.query(
        `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      );
      return rowCount;
    });
    meanwhile();
    await client.query('commit');
    return await done;
  } finally {
    client.release(true);
  }
}

describe('a process that slept', () => {
  test('while it claimed sends nothing any more, and hands the delivery back without having spent a try', async () => {
    const { delivery } = await record(ledger.db, { to: [{ name: 'ops', maxAttempts: 1 }] });
    await behind(
      'lock table deliveries in exclusive mode',
      () => attempt(delivery),
      () => sleep(30_000),
    );
    expect(heard).toBe(0);
    expect(await row(ledger.db, delivery)).toMatchObject({ state: 'retrying', attempt: 1, uncounted: 1 });
    expect(await one(ledger.db, 'select error from attempts')).toMatchObject({ error: { reason: 'claim_stale' } });
    expect(await one(ledger.db, 'select faults from destinations')).toEqual({ faults: 0 });
    vi.useRealTimers();
    await letPass(ledger.db, 60);
    await attempt(delivery);
    expect(await stateOf(ledger.db, delivery)).toBe('confirmed');
    expect(heard).toBe(1);
  });

  test('while it connected sends nothing any more: others may have looked for the message already', async () => {
    const { delivery } = await record(ledger.db, { to: [{ name: 'ops', maxAttempts: 1 }] });
    onConnection = () => sleep(30_000);
    await attempt(delivery);
    expect(heard).toBe(0);
    expect(await row(ledger.db, delivery)).toMatchObject({ state: 'retrying', uncounted: 1 });
  });
});

describe('what is wrong on our side', () => {
  test('a kind that this process does not know leaves the delivery open and unspent, for a process that does', async () => {
    await put('newer', { kind: 'carrier-pigeon' });
    const { delivery } = await record(ledger.db, { to: [{ name: 'newer', kind: 'carrier-pigeon', maxAttempts: 1 }] });
    await attempt(delivery);
    expect(await row(ledger.db, delivery)).toMatchObject({
      state: 'retrying',
      uncounted: 1,
      last_error: { reason: 'kind_unknown', message: expect.stringContaining('carrier-pigeon: upgrade all workers') },
    });
    expect(await one(ledger.db, `select faults from destinations where name = 'newer'`)).toEqual({ faults: 0 });
  });

  test('a secret under another key pauses its destination with the reason, and no delivery ends', async () => {
    await put('odd', { key: createVault(Buffer.alloc(32, 2)) });
    const to = [{ name: 'odd', maxAttempts: 1 }];
    const [first, second] = [await record(ledger.db, { to }), await record(ledger.db, { to })];
    await attempt(first.delivery);
    expect(await row(ledger.db, first.delivery)).toMatchObject({ state: 'retrying', uncounted: 1 });
    expect(await one(ledger.db, `select pause_reason from destinations where name = 'odd'`)).toEqual({
      pause_reason: expect.stringMatching(/sealed with another key.*TOCSIN_SECRET_KEY/),
    });
    expect(await claimOne(ledger.db, second.delivery)).toBeNull();
    expect(await stateOf(ledger.db, second.delivery)).toBe('held');
    await letPass(ledger.db, 60);
    await attempt(first.delivery);
    expect(await stateOf(ledger.db, first.delivery)).toBe('held');
  });
});

test('an attempt tells its facts in one line, and no secret that the receiver repeats', async () => {
  await put('echo', { path: '/echo', headers: { authorization: 'Bearer s3cr3t-of-the-receiver' } });
  const { delivery, id } = await record(ledger.db, { to: ['echo'] });
  await attempt(delivery);
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { msg: 'attempt', level: 'warn', delivery, broadcast: id, destination: 'echo', outcome: 'permanent', status: 400 },
  ]);
  expect(lines.join()).not.toContain('s3cr3t-of-the-receiver');
});
