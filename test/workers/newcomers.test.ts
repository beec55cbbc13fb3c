import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { createLog } from '../../src/log.ts';
import type { Policy } from '../../src/policy.ts';
import { openQueueBackend, type QueueBackend } from '../../src/queue/backend.ts';
import { createVault, destinationSecrets } from '../../src/secrets.ts';
import { startWorkers, type Workers } from '../../workers/index.ts';
import { type Ledger, openLedger, putDestination, record, stateOf } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const vault = createVault(Buffer.alloc(32, 1));
const log = createLog('silent');

let ledger: Ledger;
let receiver: Server;
let network: Network;
let backend: QueueBackend;
let workers: Workers;

beforeEach(async () => {
  ledger = await openLedger();
  receiver = createServer((request, response) => request.resume().once('end', () => response.end()));
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  network = createNetwork({ allowPrivateNetworks: true });
  backend = await openQueueBackend({ redisUrl: null, databaseUrl: ledger.url }, log);
  const { db, url: databaseUrl } = ledger;
  workers = await startWorkers({ db, backend, vault, network, log, databaseUrl });
});
afterEach(async () => {
  await workers?.stop();
  await backend?.close();
  await network?.close();
  await new Promise((resolve) => receiver?.close(resolve));
  await ledger?.close();
});

/** Without telling the workers, who find it when they next look by themselves. */
async function put(name: string, policy: Partial<Policy> = {}): Promise<void> {
  await putDestination(ledger.db, name, { policy });
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  const secrets = vault.seal({}, destinationSecrets(name));
  await ledger.db.query('update destinations set settings = $2, secrets = $3 where name = $1', [
    name,
    JSON.stringify({ url }),
    secrets,
  ]);
}

test('what is sent to a destination before the workers have read it is delivered, at its own rate limit', async () => {
  await put('newcomer', { rateLimit: { max: 1, perMs: 60_000 } });
  const [first, second] = [
    await record(ledger.db, { to: ['newcomer'] }),
    await record(ledger.db, { to: ['newcomer'] }),
  ];
  await until('the first to arrive', async () => (await stateOf(ledger.db, first.delivery)) === 'confirmed');
  expect(await stateOf(ledger.db, second.delivery)).toBe('pending');
});
