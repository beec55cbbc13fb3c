// The API of the durable peer: graphile-worker's jobs in PostgreSQL, one per destination, added in one statement.
import { randomUUID } from 'node:crypto';
import fastify from 'fastify';
import { makeWorkerUtils } from 'graphile-worker';
import pg from 'pg';

const destinations = JSON.parse(process.env.DESTINATIONS ?? '{}');
const pgPool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
pgPool.on('connect', (client) => client.on('error', (error) => console.error(error.message)));
pgPool.on('error', (error) => console.error(error.message));
const utils = await makeWorkerUtils({ pgPool });
await utils.migrate();

const app = fastify();
app.post('/broadcasts', async (request, reply) => {
  const { message, destinations: names } = request.body;
  const id = randomUUID();
  await utils.addJobs(
    names.map((name) => ({
      identifier: 'deliver',
      payload: { id, url: destinations[name], message },
      maxAttempts: 5,
    })),
  );
  const deliveries = names.map((destination) => ({ destination, state: 'pending' }));
  return reply.code(202).send({ id, createdAt: new Date().toISOString(), message, deliveries });
});
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) });
