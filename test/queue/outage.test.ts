import { expect, test } from 'vitest';
import { openQueueBackend } from '../../src/queue/backend.ts';
import { freshDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

test('a worker that starts while PostgreSQL is away follows jobs once it is back', async () => {
  const database = await freshDatabase();
  const url = new URL(database.url);
  const proxy = await startProxy({ host: url.hostname, port: Number(url.port) });
  url.port = String(proxy.port);
  const complaints: string[] = [];
  const log = { warn: (_details: object, message: string) => void complaints.push(message) };
  const backend = await openQueueBackend({ redisUrl: null, databaseUrl: url.href }, log);
  const seen: string[] = [];
  proxy.cut();
  const worker = backend.work(
    async (destination) => void seen.push(destination),
    () => {},
  );
  try {
    await expect(backend.add(['early'])).rejects.toThrow();
    await until('the outage to be told', () => complaints.length > 0);
    proxy.heal();
    await until('the queue to take a job', () =>
      backend.add(['late']).then(
        () => true,
        () => false,
      ),
    );
    await until('the job to be followed', () => seen.includes('late'));
  } finally {
    proxy.heal();
    await worker.stop();
    await backend.close();
    await proxy.close();
    await database.drop();
  }
});
