import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import Fastify from 'fastify';
import { afterEach, expect, test } from 'vitest';
import { cutStalled } from '../../src/api/stalled.ts';
import { until } from '../support/until.ts';

const app = Fastify();
cutStalled(app, 200);
app.get('/much', async (_request, reply) => reply.type('text/plain').send('x'.repeat(50_000_000)));
app.get('/stream', async (_request, reply) => reply.type('text/event-stream').send('x'.repeat(50_000_000)));
app.get('/little', async () => 'x');
afterEach(() => app.close());

test('a client that does not read its answer is cut off, and one that keeps its connection for later is not', async () => {
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  const ask = async (path: string) => {
    const arrived = once(app.server, 'connection') as Promise<[Socket]>;
    const client = connect(port, '127.0.0.1').on('error', () => {});
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const [socket] = await arrived;
    await once(client, 'data');
    return { client: client.pause(), socket };
  };
  const [stream, little, much] = [await ask('/stream'), await ask('/little'), await ask('/much')];
  await until('it to be cut off', () => much.socket.destroyed);
  expect([stream.socket.destroyed, little.socket.destroyed]).toEqual([false, false]);
  for (const { client } of [stream, little, much]) client.destroy();
});
