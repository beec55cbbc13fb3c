import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { newWire, observe } from '../../src/destinations/wire.ts';

describe('the wire oracle', () => {
  let server: Server;
  let url: string;
  let network: Network;
  let heard: () => void;

  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === '/cut') return request.socket.destroy();
      if (request.url === '/silent') return void request.resume().once('end', () => heard());
      response.writeHead(Number(request.url?.slice(1)) || 200, { 'X-Said': String(request.url) }).end('ok');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    network = createNetwork({ allowPrivateNetworks: true });
  });
  afterAll(async () => {
    await network.close();
    server.closeAllConnections();
    server.close();
  });

  const ways: [string, (path: string, signal?: AbortSignal) => Promise<unknown>][] = [
    ['fetch of the package', (path, signal) => network.fetch(`${url}${path}`, { method: 'POST', body: 'x', signal })],
    [
      'request of the package',
      (path, signal) => network.request(`${url}${path}`, { method: 'POST', body: 'x', signal }),
    ],
    ["Node's own fetch", (path, signal) => fetch(`${url}${path}`, { method: 'POST', body: 'x', signal })],
  ];

  // undici calls these channels experimental. If this fails after an update, nothing else here can be trusted.
  it.each(ways)('hears every stage of a request made by %s', async (_, send) => {
    const wire = newWire();
    await observe(wire, () => send('/503'));
    expect(wire).toMatchObject({ requests: 1, sent: 'body', status: 503, headers: { 'x-said': '/503' } });
  });

  it.each(ways)('knows of %s that a reply was lost', async (_, send) => {
    const wire = newWire();
    await expect(observe(wire, () => send('/cut'))).rejects.toThrow();
    expect(wire).toMatchObject({ requests: 1, sent: 'body', status: null });
  });

  it.each(ways)('knows of %s that a reply never came', async (_, send) => {
    const wire = newWire();
    const controller = new AbortController();
    heard = () => controller.abort();
    await expect(observe(wire, () => send('/silent', controller.signal))).rejects.toThrow();
    expect(wire).toMatchObject({ requests: 1, sent: 'body', status: null });
  });

  it('proves that nothing was sent where nobody listens', async () => {
    for (const send of [network.fetch, network.request]) {
      const wire = newWire();
      await expect(
        observe<unknown>(wire, () => send('http://127.0.0.1:2/', { method: 'POST', body: 'x' })),
      ).rejects.toThrow();
      expect(wire).toMatchObject({ requests: 1, sent: 'none', status: null });
    }
  });

  it('tells attempts apart that share an origin', async () => {
    const statuses = Array.from({ length: 40 }, (_, n) => 200 + n);
    const wires = await Promise.all(
      statuses.map(async (status) => {
        const wire = newWire();
        await observe(wire, async () => (await network.fetch(`${url}/${status}`)).text());
        return wire;
      }),
    );
    expect(wires.map(({ status }) => status)).toEqual(statuses);
    expect(wires.every(({ requests }) => requests === 1)).toBe(true);
  });

  it('counts a second request that an SDK made by itself, and forgets what the first was told', async () => {
    const wire = newWire();
    await observe(wire, async () => {
      await network.fetch(`${url}/503`);
      await network.fetch(`${url}/cut`).catch(() => {});
    });
    expect(wire).toEqual({ requests: 2, sent: 'body', status: null, headers: {} });
  });
});
