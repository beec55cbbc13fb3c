import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadConfig } from '../src/config.ts';
import { createLog } from '../src/log.ts';
import { open } from '../src/open.ts';
import { loadSecretKey } from '../src/secrets.ts';
import { freshDatabase } from './support/database.ts';
import { type TemporaryFolder, temporaryFolder } from './support/folder.ts';

let folder: TemporaryFolder;
let database: Awaited<ReturnType<typeof freshDatabase>>;
beforeEach(async () => {
  [folder, database] = await Promise.all([temporaryFolder('data'), freshDatabase()]);
});
afterEach(async () => {
  await Promise.all([folder.remove(), database.drop()]);
});

const opened = (dataDir: string, more: Record<string, string> = {}) =>
  open(loadConfig({ DATABASE_URL: database.url, TOCSIN_DATA: dataDir, ...more }), createLog('silent'));
const mode = async (path: string) => (await stat(path)).mode & 0o777;

test('a data folder is closed to the writing of others, whatever the umask', async () => {
  const dataDir = join(folder.path, 'deep', 'data');
  const before = process.umask(0);
  try {
    await (await opened(dataDir)).close();
    expect(await mode(dataDir)).toBe(0o755);
    expect(await mode(join(folder.path, 'deep'))).toBe(0o755);
    expect(await mode(join(dataDir, 'secret.key'))).toBe(0o600);
    await loadSecretKey({ secretKey: null, dataDir: join(folder.path, 'other') });
    expect(await mode(join(folder.path, 'other'))).toBe(0o755);
  } finally {
    process.umask(before);
  }
});

test('a data folder that everybody may write to is refused before anything is put there, with the remedy', async () => {
  const dataDir = join(folder.path, 'data');
  await mkdir(dataDir);
  await chmod(dataDir, 0o777);
  await expect(opened(dataDir)).rejects.toThrow(/Every user .* may write to the data folder .*chmod o-w/);
  await expect(readFile(join(dataDir, 'secret.key'))).rejects.toThrow(/ENOENT/);
  await writeFile(join(dataDir, 'secret.key'), 'a key that somebody else knows');
  await expect(opened(dataDir)).rejects.toThrow(/may write to the data folder/);
  await chmod(dataDir, 0o755);
  await (await opened(dataDir)).close();
});

test('a data folder that nothing is kept in may be anything', async () => {
  await chmod(folder.path, 0o777);
  await (await opened(folder.path, { TOCSIN_SECRET_KEY: 'a key of sixteen characters' })).close();
});
