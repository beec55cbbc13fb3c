// The API of the hand-written loop: what a good engineer would write with BullMQ, and no more. It validates a broadcast, adds one job
// per destination in one call, and answers. Nothing is recorded outside Redis.
import { randomUUID } from 'node:crypto';
import { Queue } from 'bullmq';
import fastify from 'fastify';
import { Redis } from 'ioredis';

const destinations: Record<string, string> = JSON.parse(process.env.DESTINATIONS ?? '{}');
const connection = new Redis(process.env.REDIS_URL ?? '', { maxRetriesPerRequest: 1 });
const queue = new Queue('deliveries', { connection });

const app = fastify();
const body = {
  type: 'object',
  required: ['message', 'destinations'],
  properties: {
    message: {
      type: 'object',
      required: ['title'],
      properties: { title: { type: 'string' }, body: { type: 'string' }, severity: { type: 'string' } },
    },
    destinations: { type: 'array', items: { type: 'string' }, minItems: 1 },
  },
} as const;

app.post('/broadcasts', { schema: { body } }, async (request, reply) => {
  const { message, destinations: names } = request.body as { message: object; destinations: string[] };
  const unknown = names.find((name) => !(name in destinations));
  if (unknown) return reply.code(422).send({ error: `Destination ${unknown} does not exist.` });
  const id = randomUUID();
  const createdAt = new Date().toISOString();
  const opts = {
    attempts: 5,
    backoff: { type: 'exponential', delay: 1_000, jitter: 1 },
    removeOnComplete: true,
    removeOnFail: { count: 1_000 },
  };
  await queue.addBulk(
    names.map((name) => ({
      name: 'deliver',
      data: { id, url: destinations[name], message },
      opts: { ...opts, jobId: `${id}-${name}` },
    })),
  );
  const deliveries = names.map((destination) => ({ destination, state: 'pending' }));
  return reply.code(202).send({ id, createdAt, message, deliveries });
});

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
