import { isAbsolute } from 'node:path';
import { expect, test } from 'vitest';
import { loadConfig } from '../src/config.ts';

test('without any variable everything has a default', () => {
  const config = loadConfig({});
  expect(config).toMatchObject({
    host: '127.0.0.1',
    port: 8080,
    databaseUrl: null,
    redisUrl: null,
    apiKey: null,
    secretKey: null,
    configFile: null,
    allowPrivateNetworks: false,
    logLevel: 'info',
  });
  expect(isAbsolute(config.dataDir)).toBe(true);
});

test('an empty variable is as good as none', () => {
  expect(loadConfig({ PORT: '', DATABASE_URL: ' ', TOCSIN_API_KEY: '' })).toEqual(loadConfig({}));
});

test('what is set is read', () => {
  const config = loadConfig({
    HOST: '0.0.0.0',
    PORT: '9000',
    DATABASE_URL: 'postgres://u:p@db/tocsin',
    REDIS_URL: 'redis://a:6379,rediss://b:6379',
    TOCSIN_ALLOW_PRIVATE_NETWORKS: 'TRUE',
    TOCSIN_SECRET_KEY: 'sixteen-letters!',
  });
  expect(config).toMatchObject({ host: '0.0.0.0', port: 9000, redisUrl: 'redis://a:6379,rediss://b:6379' });
  expect(config.allowPrivateNetworks).toBe(true);
});

test.each([
  ['PORT', '80800'],
  ['PORT', 'http'],
  ['DATABASE_URL', 'mysql://db'],
  ['REDIS_URL', 'redis://a,b:6379'],
  ['TOCSIN_SECRET_KEY', 'short'],
  ['TOCSIN_API_KEY', 'two words-and-more'],
  ['TOCSIN_ALLOW_PRIVATE_NETWORKS', 'perhaps'],
  ['LOG_LEVEL', 'loud'],
])('a wrong %s is named together with the remedy, and not repeated', (name, value) => {
  expect(() => loadConfig({ [name]: value })).toThrow(new RegExp(`^${name} must`));
});

test('a key that can be guessed is refused where others can come, and taken on loopback', () => {
  for (const HOST of ['0.0.0.0', '::', '10.0.0.1', 'tocsin.example.com']) {
    expect(() => loadConfig({ HOST, TOCSIN_API_KEY: 'a'.repeat(15) })).toThrow(/^TOCSIN_API_KEY must .*16.*openssl/);
    expect(loadConfig({ HOST, TOCSIN_API_KEY: 'a'.repeat(16) }).apiKey).toHaveLength(16);
  }
  for (const HOST of ['', 'localhost', '127.0.0.2', '::1']) {
    expect(loadConfig({ HOST, TOCSIN_API_KEY: 'a' }).apiKey).toBe('a');
  }
});

test('private networks may be all, none, or a list, whose addresses are networks of one', () => {
  const read = (text: string) => loadConfig({ TOCSIN_ALLOW_PRIVATE_NETWORKS: text }).allowPrivateNetworks;
  expect(read(' True ')).toBe(true);
  expect(read('0')).toBe(false);
  expect(read('10.0.0.0/8, fd00::/8,192.168.1.7,::1')).toEqual(['10.0.0.0/8', 'fd00::/8', '192.168.1.7/32', '::1/128']);
});

test.each([
  ['10.0.0.0/8,true', '"true" is no network'],
  ['10.0.0.0/33', '"10.0.0.0/33" is no network'],
  ['10/8', '"10/8" is no network'],
  ['10.0.0.0/8/8', '"10.0.0.0/8/8" is no network'],
  ['10.0.0.0/', '"10.0.0.0/" is no network'],
  ['fe80::1%eth0', '"fe80::1%eth0" is no network'],
  ['10.0.0.0/8,', '"" is no network'],
  ['10.1.2.3/8', '"10.1.2.3/8" has bits beyond its prefix, write 10.0.0.0/8'],
  ['fd00::1/8', '"fd00::1/8" has bits beyond its prefix, write fd00::/8'],
  ['::ffff:10.0.0.0/104', '"::ffff:10.0.0.0/104" has to be written as IPv4'],
])('a list of private networks that says %s is refused, and the entry is named', (text, flaw) => {
  expect(() => loadConfig({ TOCSIN_ALLOW_PRIVATE_NETWORKS: text })).toThrow(
    `TOCSIN_ALLOW_PRIVATE_NETWORKS must be true, false, or a list of networks such as 10.0.0.0/8,fd00::/8: ${flaw}.`,
  );
});
