// The worker of the hand-written loop: BullMQ's own retries, one undici pool per receiver.
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { Pool } from 'undici';

const connection = new Redis(process.env.REDIS_URL ?? '', { maxRetriesPerRequest: null });
const pools = new Map<string, Pool>();

function poolOf(origin: string): Pool {
  let pool = pools.get(origin);
  if (!pool) {
    pool = new Pool(origin, { connections: 64 });
    pools.set(origin, pool);
  }
  return pool;
}

const worker = new Worker(
  'deliveries',
  async ({ id, data }) => {
    const { origin, pathname } = new URL(data.url);
    const { statusCode, body } = await poolOf(origin).request({
      method: 'POST',
      path: pathname,
      headers: { 'content-type': 'application/json', 'webhook-id': id },
      body: JSON.stringify({ type: 'broadcast.message', data: { id: data.id, message: data.message } }),
      headersTimeout: 10_000,
      bodyTimeout: 10_000,
    });
    await body.dump();
    if (statusCode < 200 || statusCode > 299) throw new Error(`The receiver answered ${statusCode}.`);
  },
  { connection, concurrency: Number(process.env.CONCURRENCY) },
);
worker.on('error', (error) => console.error(error.message));
