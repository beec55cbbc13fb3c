import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../src/config.ts';
import { createLog } from '../src/log.ts';
import { open } from '../src/open.ts';
import { createVault, destinationSecrets } from '../src/secrets.ts';
import { StartError } from '../src/start-error.ts';
import { freshDatabase } from './support/database.ts';
import { temporaryFolder } from './support/folder.ts';
import { putDestination } from './support/ledger.ts';

const repository = fileURLToPath(new URL('..', import.meta.url));
let database: Awaited<ReturnType<typeof freshDatabase>>;
let folder: Awaited<ReturnType<typeof temporaryFolder>>;

beforeAll(async () => {
  [database, folder] = await Promise.all([freshDatabase(), temporaryFolder('start')]);
});
afterAll(async () => {
  await Promise.all([database.drop(), folder.remove()]);
});

/** Runs the API, or another program, until it ends by itself. */
async function ended(env: Record<string, string>, program = ['src/server.ts']) {
  const child = spawn(process.execPath, program, {
    cwd: repository,
    env: {
      PATH: process.env.PATH,
      DATABASE_URL: database.url,
      TOCSIN_DATA: folder.path,
      TOCSIN_API_KEY: 'k'.repeat(32),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const code = await new Promise((resolve) => child.once('close', resolve));
  return { code, stdout, stderr };
}

describe('a start that a person can mend ends with one plain line that says how', () => {
  async function refused(env: Record<string, string>, line: RegExp) {
    const { code, stdout, stderr } = await ended(env);
    expect(code).not.toBe(0);
    expect(stderr.trim().split('\n')).toEqual([expect.stringMatching(line)]);
    expect(stdout + stderr).not.toMatch(/"level":"fatal"|\n\s+at /);
  }

  test('when a variable is wrong', () =>
    refused({ TOCSIN_API_KEY: 'two words' }, /^TOCSIN_API_KEY must .*without spaces/));

  test('when the port is taken', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    await refused({ PORT: String(port) }, new RegExp(`^Port ${port} of 127.0.0.1 is taken .* set PORT`));
    await new Promise((resolve) => other.close(resolve));
  });

  test('when the address is not of this machine', () =>
    refused({ HOST: '192.0.2.1', PORT: '0' }, /^Port 0 of 192\.0\.2\.1 cannot be opened.* correct HOST/));

  test('when the database does not exist', () => {
    const elsewhere = new URL(database.url);
    elsewhere.pathname = '/no_such_database';
    return refused({ DATABASE_URL: elsewhere.href }, /no_such_database of DATABASE_URL does not exist: create it/);
  });

  test('when it can open none of the stored secrets', async () => {
    const foreign = await freshDatabase();
    const config = loadConfig({ DATABASE_URL: foreign.url, TOCSIN_DATA: folder.path });
    const { db, close } = await open(config, createLog('silent'));
    await putDestination(db, 'ops');
    const sealed = createVault(Buffer.alloc(32)).seal({}, destinationSecrets('ops'));
    await db.query('update destinations set secrets = $1', [sealed]);
    await close();
    const env = { DATABASE_URL: foreign.url, HOST: '192.0.2.1', PORT: '0' };
    await refused(env, /another secret key.*TOCSIN_SECRET_KEY_LOST=true/);
    // Past this check it fails by its address, which is the last thing that a start tries.
    await refused({ ...env, TOCSIN_SECRET_KEY_LOST: 'true' }, /^Port 0 of 192\.0\.2\.1 cannot be opened/);
    await foreign.drop();
  });

  test('when the file of declarations is wrong', async () => {
    const path = join(folder.path, 'tocsin.yaml');
    await writeFile(path, 'audiences: { p1: { destinations: [ghost] } }');
    await refused({ TOCSIN_CONFIG: path }, /tocsin\.yaml: .*ghost.* does not exist/);
  });
});

test('a part that fails for good ends the process with a failure and one plain line, and the other parts in order', async () => {
  const program = `
    const { run } = await import('./src/run.ts');
    const { StartError } = await import('./src/start-error.ts');
    await run(async ({ later, fail }) => {
      later('part', async () => console.log('the part ended'));
      setTimeout(fail, 1, new StartError('It is gone: mend it.'));
    });
    setInterval(() => {}, 1_000);
  `;
  const { code, stdout, stderr } = await ended({}, ['--input-type=module', '-e', program]);
  expect({ code, stdout, stderr }).toEqual({ code: 1, stdout: 'the part ended\n', stderr: 'It is gone: mend it.\n' });
});

test('what nobody foresaw keeps its stack', async () => {
  const broken = await freshDatabase();
  const config = loadConfig({ DATABASE_URL: broken.url, TOCSIN_DATA: folder.path });
  const { db, close } = await open(config, createLog('silent'));
  await db.query('drop table audiences');
  await close();
  const path = join(folder.path, 'any.yaml');
  await writeFile(path, 'audiences: {}');
  const { code, stdout } = await ended({ DATABASE_URL: broken.url, TOCSIN_CONFIG: path });
  await broken.drop();
  expect(code).toBe(1);
  expect(stdout).toMatch(/"level":"fatal".*audiences.*\\n +at /);
});

test('a database that stays away is named, with the reason, and without its password', async () => {
  const config = loadConfig({ DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:9/tocsin', TOCSIN_DATA: folder.path });
  const failure = await open(config, createLog('silent'), { patienceMs: 0 }).catch((error) => error);
  expect(failure).toBeInstanceOf(StartError);
  expect(failure.message).toMatch(
    /127\.0\.0\.1:9\/tocsin of DATABASE_URL cannot be reached \(.*ECONNREFUSED.*\): start it/,
  );
  expect(failure.message).not.toContain('hunter2');
});

test('a data folder that cannot be one is named', async () => {
  const path = join(folder.path, 'file');
  await writeFile(path, '');
  const config = loadConfig({ DATABASE_URL: database.url, TOCSIN_DATA: join(path, 'data') });
  await expect(open(config, createLog('silent'))).rejects.toThrow(/ENOTDIR.*set TOCSIN_DATA/);
});
