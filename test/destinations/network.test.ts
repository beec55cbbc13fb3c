import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { brotliCompressSync, constants, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { faultFrom } from '../../src/destinations/faults.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { isPrivate } from '../../src/destinations/private-networks.ts';
import { newWire, observe } from '../../src/destinations/wire.ts';
import { until } from '../support/until.ts';

const zeros: Buffer<ArrayBuffer> = Buffer.alloc(32 * 1024 * 1024);
const packers: Record<string, (bytes: Buffer<ArrayBuffer>) => Buffer<ArrayBuffer>> = {
  gzip: (bytes) => gzipSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  br: (bytes) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: (bytes) => zstdCompressSync(bytes),
};

describe('the address guard', () => {
  const network = createNetwork({ allowPrivateNetworks: false });
  afterAll(() => network.close());

  it.each([
    '127.0.0.1',
    '127.8.8.8',
    '0.0.0.0',
    '10.1.2.3',
    '172.16.0.1',
    '192.168.1.1',
    '100.64.0.1',
    '169.254.169.254',
    '192.0.0.170',
    '198.18.0.1',
    '224.0.0.1',
    '240.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '[::1]',
    'fe80::1',
    'fe80::1%eth0',
    'fc00::1',
    'fd12:3456::1',
    'ff02::1',
    '::ffff:127.0.0.1',
    '::ffff:169.254.169.254',
    '64:ff9b::a9fe:a9fe',
    '2002:7f00:1::',
    '2001:db8::1',
    'not an address',
    '',
  ])('refuses %s', (address) => {
    expect(isPrivate(address)).toBe(true);
  });

  it.each(['1.1.1.1', '93.184.215.14', '::ffff:1.1.1.1', '2606:4700:4700::1111', '64:ff9b::101:101'])(
    'lets %s pass',
    (address) => {
      expect(isPrivate(address)).toBe(false);
    },
  );

  it.each([
    'https://127.0.0.1/',
    'https://[::1]/',
    'https://[::ffff:7f00:1]/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://169.254.169.254/latest/meta-data',
    'https://localhost/',
    'http://example.com/',
  ])('sends nothing to %s, and says which setting would allow it', async (url) => {
    for (const send of [network.fetch, network.request]) {
      const wire = newWire();
      const error = await observe<unknown>(wire, () => send(url, { method: 'POST', body: 'x' })).catch(
        (thrown: unknown) => thrown,
      );
      const fault = faultFrom(error, wire, {});
      expect(fault).toMatchObject({ class: 'permanent', reason: 'address_refused' });
      expect(fault.message).toContain('TOCSIN_ALLOW_PRIVATE_NETWORKS');
      expect(wire.sent).toBe('none');
    }
  });

  it('refuses for other transports too', async () => {
    await expect(network.assertPublic('localhost')).rejects.toThrow('TOCSIN_ALLOW_PRIVATE_NETWORKS');
    await expect(network.assertPublic('127.0.0.1')).rejects.toThrow('TOCSIN_ALLOW_PRIVATE_NETWORKS');
    await expect(network.assertPublic('[::1]')).rejects.toThrow('TOCSIN_ALLOW_PRIVATE_NETWORKS');
  });
});

describe('the door', () => {
  let server: Server;
  let url: string;
  let network: Network;
  let asked: string[];

  beforeAll(async () => {
    asked = [];
    server = createServer((request, response) => {
      asked.push(String(request.url));
      if (request.url === '/stall') return;
      if (request.url === '/endless') return void response.end(Buffer.alloc(5 * 1024 * 1024));
      if (request.url === '/packed') {
        const body = gzipSync(JSON.stringify({ encoding: request.headers['accept-encoding'] }));
        return void response.setHeader('content-encoding', 'gzip').end(body);
      }
      if (request.url?.startsWith('/bomb/')) {
        const packing = decodeURIComponent(request.url.slice('/bomb/'.length));
        const body = packing.split(', ').reduce((bytes, each) => packers[each]?.(bytes) ?? bytes, zeros);
        return void response.setHeader('content-encoding', packing).end(body);
      }
      if (request.url?.startsWith('/status/')) return void response.writeHead(Number(request.url.slice(8))).end('odd');
      if (request.url === '/elsewhere') return void response.writeHead(307, { location: '/target' }).end();
      response.end('ok');
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

  it('follows no redirect, whatever the caller asked for', async () => {
    const asks = { method: 'POST', body: 'x', redirect: 'follow' } as const;
    expect((await network.fetch(`${url}/elsewhere`, asks)).status).toBe(307);
    expect((await network.request(`${url}/elsewhere`, { method: 'POST', body: 'x' })).status).toBe(307);
    const wire = newWire();
    const error = await observe(wire, () => network.fetch(`${url}/elsewhere`, { ...asks, redirect: 'error' })).catch(
      (thrown: unknown) => thrown,
    );
    expect(faultFrom(error, wire, {})).toMatchObject({ class: 'permanent', reason: 'redirected', status: 307 });
    expect(asked).not.toContain('/target');
  });

  it('reads no more of a reply than fits', async () => {
    await expect(network.fetch(`${url}/endless`).then((reply) => reply.text())).rejects.toThrow();
  });

  it('asks for replies that are not packed, and unpacks the small one that is packed all the same', async () => {
    expect(await (await network.fetch(`${url}/packed`)).json()).toEqual({ encoding: 'identity' });
  });

  it.each(['gzip', 'deflate', 'br', 'zstd', 'gzip, br'])(
    'unpacks no more of a reply than fits, packed by %s',
    async (packing) => {
      const reply = await network.fetch(`${url}/bomb/${encodeURIComponent(packing)}`);
      expect(reply.url).toContain('/bomb/');
      let bytes = 0;
      const reading = async () => {
        for await (const chunk of reply.body as AsyncIterable<Uint8Array>) bytes += chunk.byteLength;
      };
      await expect(reading()).rejects.toThrow('longer than 4 MB');
      expect(bytes).toBeLessThanOrEqual(4 * 1024 * 1024);
    },
  );

  it('refuses a status that HTTP does not have', async () => {
    await expect(network.fetch(`${url}/status/777`)).rejects.toThrow('777');
  });

  it('gives a request up at once that waits for its connection, and sends nothing', async () => {
    const silent = createTcpServer();
    const sockets = new Set<Socket>();
    let heard = '';
    silent.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('data', (bytes) => {
        heard += bytes.toString('latin1');
      });
      socket.on('error', () => {});
    });
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const controller = new AbortController();
    const wire = newWire();
    // The other side never says its part of the handshake.
    const asks = { method: 'POST', body: 'secret', signal: controller.signal } as const;
    const sent = observe(wire, () => network.request(`https://127.0.0.1:${port}/`, asks));
    await until('the connection', () => sockets.size === 1);
    controller.abort(new Error('given up'));
    await expect(sent).rejects.toThrow('given up');
    expect(wire).toMatchObject({ requests: 1, sent: 'none' });
    expect(heard).not.toContain('secret');
    for (const socket of sockets) socket.destroy();
    silent.close();
  });

  it('begins nothing for a signal that has aborted', async () => {
    const signal = AbortSignal.abort(new Error('given up'));
    const wire = newWire();
    const sent = observe(wire, () => network.request(`${url}/never`, { method: 'POST', body: 'x', signal }));
    await expect(sent).rejects.toThrow('given up');
    expect(wire).toMatchObject({ requests: 0, sent: 'none' });
    expect(asked).not.toContain('/never');
  });

  it('lets a stalled request hold up no other of its origin', async () => {
    const controller = new AbortController();
    const stalled = Array.from({ length: 20 }, () => network.fetch(`${url}/stall`, { signal: controller.signal }));
    await Promise.all(Array.from({ length: 20 }, () => network.fetch(`${url}/`).then((reply) => reply.text())));
    controller.abort();
    expect((await Promise.allSettled(stalled)).every(({ status }) => status === 'rejected')).toBe(true);
  });
});
