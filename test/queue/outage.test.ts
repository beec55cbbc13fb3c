import { expect, test } from 'vitest';
import { openQueueBackend } from '../../src/queue/backend.ts';
import { freshDatabase } from '../support/database.ts';
import { startProxy } from '../support/proxy.ts';
import { until } from '../support/until.ts';

test('a lane that was opened while PostgreSQL was away works once it is back', async () => {
  const database = await freshDatabase();
  const url = new URL(database.url);
  const proxy = await startProxy({ host: url.hostname, port: Number(url.port) });
  url.port = String(proxy.port);
  const complaints: string[] = [];
  const log = { warn: (_details: object, message: string) => void complaints.push(message) };
  const backend = await openQueueBackend({ redisUrl: null, databaseUrl: url.href, lanes: 2 }, log);
  const seen: (string | undefined)[] = [];
  proxy.cut();
  const worker = backend.worker('lane', async (job) => void seen.push(job.id), { concurrency: 1 });
  try {
    await expect(backend.queue('lane').add('ring', {}, { jobId: 'early' })).rejects.toThrow();
    await until('the outage to be told', () => complaints.length > 0);
    proxy.heal();
    await until('the lane to take a ring', () => backend.queue('lane').add('ring', {}, { jobId: 'late' }));
    await until('the ring to be followed', () => seen.includes('late'));
  } finally {
    proxy.heal();
    await worker.close();
    await backend.close();
    await proxy.close();
    await database.drop();
  }
});
