import { randomBytes } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedDatabase } from '../../src/ledger/embedded.ts';
import { migrate } from '../../src/ledger/migrate.ts';
import { dropDatabase } from './database.ts';
import { temporaryFolder } from './folder.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    database: { url: string; template: string; prefix: string };
  }
}

/**
 * One PostgreSQL for the whole run (or the one in TEST_DATABASE_URL, whose account must be allowed to create databases),
 * and in it one migrated template that every test clones.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = process.env.TEST_DATABASE_URL ? lent(process.env.TEST_DATABASE_URL) : await own();
  // Of this run alone: two runs may share the server in TEST_DATABASE_URL.
  const prefix = `tocsin_test_${randomBytes(4).toString('hex')}_`;
  const template = `${prefix}template`;
  const leave = async () => {
    try {
      await dropAll(server.url, prefix);
    } finally {
      await server.stop();
    }
  };
  try {
    await build(server.url, template);
  } catch (error) {
    await leave();
    throw error;
  }
  project.provide('database', { url: server.url, template, prefix });
  return leave;
}

interface Server {
  url: string;
  stop(): Promise<void>;
}

function lent(url: string): Server {
  return { url, stop: async () => {} };
}

async function own(): Promise<Server> {
  const { path, remove } = await temporaryFolder('test');
  try {
    // A temporary folder is closed to others, and as root the server runs as another account.
    await chmod(path, 0o755);
    const database = await startEmbeddedDatabase(path, undefined, { durable: false, tcp: true });
    return { url: database.url, stop: () => database.stop().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

async function build(url: string, template: string): Promise<void> {
  await connected(url, (client) => client.query(`create database ${template}`));
  const inTemplate = new URL(url);
  inTemplate.pathname = `/${template}`;
  const pool = new pg.Pool({ connectionString: inTemplate.href });
  try {
    await migrate(pool);
  } finally {
    // A template that somebody is connected to cannot be cloned.
    await pool.end();
  }
}

async function dropAll(url: string, prefix: string): Promise<void> {
  const names = await connected(url, async (client) => {
    const { rows } = await client.query('select datname from pg_database where starts_with(datname, $1)', [prefix]);
    return rows.map(({ datname }) => datname as string);
  });
  for (const name of names) await dropDatabase(url, name);
}

async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
