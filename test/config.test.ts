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
