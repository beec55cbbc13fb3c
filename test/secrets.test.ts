import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createVault, loadSecretKey } from '../src/secrets.ts';

const key = Buffer.alloc(32, 1);
const value = { token: 'xoxb-secret' };

describe('a sealed value', () => {
  test('opens again, in its place', () => {
    const vault = createVault(key);
    const sealed = vault.seal(value, 'here');
    expect(vault.open(sealed, 'here')).toEqual(value);
    expect(sealed.toString('latin1')).not.toContain('xoxb');
    expect(vault.seal(value, 'here')).not.toEqual(sealed);
  });

  test('opens nowhere else, and not when a bit of it has changed', () => {
    const vault = createVault(key);
    const sealed = vault.seal(value, 'here');
    expect(() => vault.open(sealed, 'there')).toThrow(/TOCSIN_SECRET_KEY/);
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => vault.open(changed, 'here')).toThrow(/TOCSIN_SECRET_KEY/);
    }
    for (const length of [0, 5, 17, 33]) expect(() => vault.open(sealed.subarray(0, length), 'here')).toThrow();
  });

  test('does not open with another key, and says which variable to look at', () => {
    const sealed = createVault(key).seal(value, 'here');
    expect(() => createVault(Buffer.alloc(32, 2)).open(sealed, 'here')).toThrow(/another key.*TOCSIN_SECRET_KEY/);
  });
});

describe('the key', () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'tocsin-secrets-'));
  });
  afterEach(() => rm(dataDir, { recursive: true }));

  test('is made on the first start, for its owner only, and is the same ever after', async () => {
    const folder = join(dataDir, 'not', 'there', 'yet');
    const first = await loadSecretKey({ secretKey: null, dataDir: folder });
    expect(await loadSecretKey({ secretKey: null, dataDir: folder })).toEqual(first);
    expect((await stat(join(folder, 'secret.key'))).mode & 0o777).toBe(0o600);
  });

  test('is one, however many start at once', async () => {
    const keys = await Promise.all(Array.from({ length: 8 }, () => loadSecretKey({ secretKey: null, dataDir })));
    expect(new Set(keys.map((key) => key.toString('hex'))).size).toBe(1);
    expect(await readdir(dataDir)).toEqual(['secret.key']);
  });

  test('may move from the file to the variable', async () => {
    const kept = await loadSecretKey({ secretKey: null, dataDir });
    const secretKey = (await readFile(join(dataDir, 'secret.key'), 'utf8')).trim();
    expect(await loadSecretKey({ secretKey, dataDir: '/nowhere' })).toEqual(kept);
  });

  test('is not replaced when its file was emptied: what it sealed would be lost', async () => {
    await writeFile(join(dataDir, 'secret.key'), '');
    await expect(loadSecretKey({ secretKey: null, dataDir })).rejects.toThrow(/secret\.key.*TOCSIN_SECRET_KEY/);
  });
});
