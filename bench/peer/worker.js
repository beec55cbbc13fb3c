// The worker of the durable peer, tuned as its documentation advises for throughput: a local queue, and completions in batches.
import { Logger, run } from 'graphile-worker';
import pg from 'pg';
import { Pool } from 'undici';

const concurrency = Number(process.env.CONCURRENCY);
const pgPool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
pgPool.on('connect', (client) => client.on('error', (error) => console.error(error.message)));
pgPool.on('error', (error) => console.error(error.message));
const pools = new Map();

async function deliver(payload) {
  const { origin, pathname } = new URL(payload.url);
  if (!pools.has(origin)) pools.set(origin, new Pool(origin, { connections: 64 }));
  const { statusCode, body } = await pools.get(origin).request({
    method: 'POST',
    path: pathname,
    headers: { 'content-type': 'application/json', 'webhook-id': payload.id },
    body: JSON.stringify({ type: 'broadcast.message', data: { id: payload.id, message: payload.message } }),
  });
  await body.dump();
  if (statusCode < 200 || statusCode > 299) throw new Error(`The receiver answered ${statusCode}.`);
}

await run({
  pgPool,
  taskList: { deliver },
  logger: new Logger(() => () => {}),
  preset: {
    worker: {
      concurrentJobs: concurrency,
      localQueue: { size: 500 },
      completeJobBatchDelay: 5,
      failJobBatchDelay: 0,
      pollInterval: 500,
    },
  },
});
