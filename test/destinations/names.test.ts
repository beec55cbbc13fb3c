import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { email } from '../../src/destinations/email/index.ts';
import { createNameFiles } from '../../src/destinations/name-files.ts';
import { createNames, type NameSources } from '../../src/destinations/names.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { perform } from '../../src/destinations/perform.ts';
import type { PrivateNetworks } from '../../src/destinations/private-networks.ts';
import { webhook } from '../../src/destinations/webhook/index.ts';
import { type NameServer, startNameServer } from '../support/dns.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { until } from '../support/until.ts';
import { noticeOf } from './suite.ts';

let dns: NameServer;
/** Names for which the system was asked. */
let system: string[];
let folder: TemporaryFolder;

beforeAll(async () => {
  folder = await temporaryFolder('names');
});
afterAll(() => folder.remove());

beforeEach(async () => {
  dns = await startNameServer();
  system = [];
});
afterEach(() => dns.close());

const nothing = { hosts: '/nowhere/hosts', resolvConf: '/nowhere/resolv.conf' };

function sources(more: NameSources = {}): NameSources {
  return {
    servers: [dns.address],
    files: createNameFiles(nothing),
    patienceMs: 300,
    async system(name) {
      system.push(name);
      throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' });
    },
    ...more,
  };
}

async function files(hosts: string, resolvConf: string) {
  const paths = { hosts: join(folder.path, 'hosts'), resolvConf: join(folder.path, 'resolv.conf') };
  await Promise.all([writeFile(paths.hosts, hosts), writeFile(paths.resolvConf, resolvConf)]);
  return createNameFiles(paths);
}

const v4 = (address: string) => ({ address, family: 4 });
const v6 = (address: string) => ({ address, family: 6 });

describe('a name', () => {
  it('has the addresses of both families, and takes none of the threads of the system', async () => {
    dns.names.set('hooks.example', ['192.0.2.1', '2001:db8::1']);
    expect(await createNames(sources())('Hooks.Example')).toEqual([v4('192.0.2.1'), v6('2001:db8::1')]);
    expect(system).toEqual([]);
  });

  it('that is an address already is asked for nowhere', async () => {
    const names = createNames(sources());
    expect([await names('192.0.2.1'), await names('2001:db8::1')]).toEqual([[v4('192.0.2.1')], [v6('2001:db8::1')]]);
    expect(dns.asked).toEqual([]);
  });

  it('stands in the file of hosts first, and localhost is this machine without one', async () => {
    const listed = createNames(sources({ files: await files('192.0.2.7 Relay relay.example # ours\n::1 relay', '') }));
    expect(await listed('relay')).toEqual([v4('192.0.2.7'), v6('::1')]);
    expect(await listed('relay.example.')).toEqual([v4('192.0.2.7')]);
    expect(await listed('localhost')).toEqual([v4('127.0.0.1'), v6('::1')]);
    expect(dns.asked).toEqual([]);
  });

  it('is looked for in the domains of a cluster first when it is short, as the system would', async () => {
    const within = 'search shop.svc.cluster.local svc.cluster.local\noptions ndots:5 timeout:1\n';
    const names = createNames(sources({ files: await files('', within) }));
    dns.names.set('hooks.dev', ['192.0.2.66']).set('hooks.dev.svc.cluster.local', ['10.0.0.5']);
    dns.names.set('api.example.com', ['192.0.2.5']);
    expect(await names('hooks.dev')).toEqual([v4('10.0.0.5')]);
    expect(await names('api.example.com')).toEqual([v4('192.0.2.5')]);
    dns.asked.length = 0;
    expect(await names('api.example.com.')).toEqual([v4('192.0.2.5')]);
    expect(dns.asked.sort()).toEqual(['api.example.com A', 'api.example.com AAAA']);
  });

  it('without a dot is looked for in the own domain, and found as it is where a container names its services', async () => {
    dns.names.set('redis', ['10.0.0.6']).set('mail.corp.example', ['10.0.0.7']);
    const corporate = createNames(sources({ files: await files('', 'search corp.example.\n') }));
    expect(await corporate('mail')).toEqual([v4('10.0.0.7')]);
    expect(await corporate('redis')).toEqual([v4('10.0.0.6')]);
  });

  it('that no server knows is asked of the system, for two names at a time', async () => {
    const gates: (() => void)[] = [];
    const waiting = (name: string) =>
      new Promise<ReturnType<typeof v4>[]>((resolve) => {
        system.push(name);
        gates.push(() => resolve([v4('192.0.2.9')]));
      });
    const names = createNames(sources({ system: waiting, patienceMs: 20_000 }));
    const found = Promise.all(['one.local', 'two.local', 'three.local', 'four.local', 'one.local'].map(names));
    await until('two names to be asked', () => system.length === 2);
    await until('all questions to the server', () => new Set(dns.asked).size === 8);
    expect(system).toHaveLength(2);
    gates[0]?.();
    await until('a third name to be asked', () => system.length === 3);
    gates[1]?.();
    await until('the fourth name to be asked', () => system.length === 4);
    for (const open of gates) open();
    expect(await found).toEqual(Array(5).fill([v4('192.0.2.9')]));
  });

  it('that found no place among silent ones is no fault of whoever bears it', async () => {
    const names = createNames(sources({ system: () => new Promise(() => {}) }));
    const found = await Promise.allSettled(['one.local', 'two.local', 'three.local'].map(names));
    const faults = found.map((each) => (each.status === 'rejected' ? (each.reason.fault ?? each.reason.code) : null));
    // Their servers answer in any order, so that any of them may be the one that comes third.
    expect(faults.filter((each) => each === 'EAI_AGAIN')).toHaveLength(2);
    expect(faults.find((each) => typeof each === 'object')).toMatchObject({
      class: 'transient',
      reason: 'dns',
      ours: true,
    });
  });

  it('that nobody knows is told as such', async () => {
    await expect(createNames(sources())('nowhere.example')).rejects.toMatchObject({ code: 'ENOTFOUND' });
    expect(system).toEqual(['nowhere.example']);
  });

  it('is found while the servers of a hundred others keep silent', async () => {
    const names = createNames(sources());
    const dead = Array.from({ length: 100 }, (_, n) => `dead${n}.example`);
    for (const name of dead) dns.names.set(name, 'silence');
    dns.names.set('quick.example', ['192.0.2.1']);
    const silent = Promise.allSettled(dead.map(names));
    await until('the silent ones to be asked', () => dead.every((name) => dns.asked.includes(`${name} A`)));
    expect(await names('quick.example')).toEqual([v4('192.0.2.1')]);
    for (const result of await silent) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'EAI_AGAIN' } });
    }
    expect(system).toEqual([]);
  });

  it('whose server kept silent is not asked for again at once', async () => {
    const names = createNames(sources());
    dns.names.set('dead.example', 'silence');
    await expect(names('dead.example')).rejects.toThrow('its name server did not answer');
    const asked = dns.asked.length;
    dns.names.set('dead.example', ['192.0.2.1']);
    await expect(names('dead.example')).rejects.toThrow('asked again within 30 seconds');
    expect(dns.asked).toHaveLength(asked);
  });

  it.each(['silence', 'failure'] as const)('keeps its last addresses through the %s of its server', async (trouble) => {
    const names = createNames(sources());
    dns.names.set('hooks.example', ['192.0.2.1']);
    await names('hooks.example');
    dns.names.set('hooks.example', trouble);
    expect(await names('hooks.example')).toEqual([v4('192.0.2.1')]);
  });

  it('that was taken back is not found by its last addresses', async () => {
    const names = createNames(sources());
    dns.names.set('hooks.example', ['192.0.2.1']);
    await names('hooks.example');
    dns.names.delete('hooks.example');
    await expect(names('hooks.example')).rejects.toMatchObject({ code: 'ENOTFOUND' });
  });

  it('is asked for once, however many wait for it', async () => {
    const names = createNames(sources());
    dns.names.set('hooks.example', ['192.0.2.1']);
    await Promise.all(Array.from({ length: 50 }, () => names('hooks.example')));
    expect(dns.asked.sort()).toEqual(['hooks.example A', 'hooks.example AAAA']);
  });
});

describe('an attempt at a name', () => {
  let server: Server;
  let port: number;
  const networks: Network[] = [];

  beforeAll(async () => {
    server = createServer((request, response) => request.resume().on('end', () => response.end('ok')));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    await Promise.all(networks.map((network) => network.close()));
    server.closeAllConnections();
    server.close();
  });

  function networkWith(allowPrivateNetworks: PrivateNetworks, more: NameSources = {}): Network {
    const network = createNetwork({ allowPrivateNetworks, names: sources(more) });
    networks.push(network);
    return network;
  }

  async function attempt(adapter: typeof webhook | typeof email, configuration: object, network: Network) {
    const now = new Date();
    const task = { action: 'deliver' as const, key: 'dl_1', revision: 1, receipt: null, root: null, since: now };
    const stored = configuration as { settings: unknown; secrets: unknown };
    const notice = noticeOf('dl_1');
    return perform(adapter, { ...task, ...stored, startedAt: now, notice, timeoutMs: 20_000 }, network);
  }

  const hook = (name: string, protocol = 'http') => ({
    settings: { url: `${protocol}://${name}:${port}/` },
    secrets: {},
  });
  const mailbox = (name: string) => ({
    settings: { from: 'tocsin@example.com', to: ['ops@example.com'] },
    secrets: { smtpUrl: `smtp://${name}:${port}` },
  });

  it('whose server keeps silent has sent nothing for sure, by HTTP or by SMTP', async () => {
    const network = networkWith(true);
    dns.names.set('dead.example', 'silence').set('dead.mail', 'silence').set('failed.example', 'failure');
    const attempts = [
      attempt(webhook, hook('dead.example'), network),
      attempt(webhook, hook('failed.example'), network),
      attempt(email, mailbox('dead.mail'), network),
    ];
    for (const { outcome, wire } of await Promise.all(attempts)) {
      expect(outcome).toMatchObject({ is: 'fault', fault: { class: 'transient', reason: 'dns', status: null } });
      expect(outcome).toMatchObject({ fault: { message: expect.stringContaining('could not be looked up') } });
      expect(wire.sent).toBe('none');
    }
  });

  it('reaches a private address only when that is allowed, and then only the one that was checked', async () => {
    dns.names.set('inside.example', ['127.0.0.1']).set('mixed.example', ['93.184.215.14', '127.0.0.1']);
    const closed = networkWith(false);
    for (const name of ['inside.example', 'mixed.example']) {
      for (const at of [attempt(webhook, hook(name, 'https'), closed), attempt(email, mailbox(name), closed)]) {
        const { outcome, wire } = await at;
        expect(outcome).toMatchObject({ is: 'fault', fault: { class: 'permanent', reason: 'address_refused' } });
        expect(wire.sent).toBe('none');
      }
    }
    expect((await attempt(webhook, hook('inside.example'), networkWith(true))).outcome.is).toBe('success');
  });

  it('is checked at each connection: a name that moves into a private network is refused there', async () => {
    dns.names.set('moving.example', ['127.0.0.1']);
    const network = networkWith(['127.0.0.1']);
    expect((await attempt(webhook, hook('moving.example'), network)).outcome.is).toBe('success');
    dns.names.set('moving.example', ['127.0.0.2']);
    await expect(network.assertPublic('moving.example')).rejects.toThrow('TOCSIN_ALLOW_PRIVATE_NETWORKS');
  });

  it('reaches a listed network by plain HTTP too, and nothing else by it', async () => {
    dns.names.set('inside.example', ['127.0.0.1']).set('beside.example', ['10.0.0.1']);
    dns.names.set('outside.example', ['93.184.215.14']);
    const network = networkWith(['127.0.0.0/8']);
    expect((await attempt(webhook, hook('inside.example'), network)).outcome.is).toBe('success');
    expect((await attempt(webhook, hook('127.0.0.1'), network)).outcome.is).toBe('success');
    for (const name of ['beside.example', 'outside.example', '93.184.215.14', '10.0.0.1']) {
      const { outcome, wire } = await attempt(webhook, hook(name), network);
      expect(outcome).toMatchObject({ fault: { class: 'permanent', reason: 'address_refused' } });
      expect(wire.sent).toBe('none');
    }
  });

  it('never reaches a metadata address, unless that is listed by itself', async () => {
    dns.names.set('metadata.example', ['169.254.169.254']);
    const { outcome } = await attempt(webhook, hook('metadata.example'), networkWith(true));
    expect(outcome).toMatchObject({ fault: { class: 'permanent', reason: 'address_refused' } });
    expect(outcome).toMatchObject({ fault: { message: expect.stringContaining('metadata address') } });
    const listed = networkWith(['169.254.169.254']);
    expect(await listed.assertPublic('metadata.example')).toEqual([v4('169.254.169.254')]);
  });
});
