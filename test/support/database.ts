import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { until } from './until.ts';

export interface FreshDatabase {
  url: string;
  /** Ends whatever is still connected and removes it. */
  drop(): Promise<void>;
}

/** A real, migrated, empty database for one test or one file, at the cost of a template clone. */
export async function freshDatabase(): Promise<FreshDatabase> {
  const { url, template, prefix } = inject('database');
  const name = `${prefix}${randomBytes(6).toString('hex')}`;
  await asOwner(url, `create database ${name} template ${template}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return { url: own.href, drop: () => dropDatabase(url, name) };
}

/** Repeated, because autovacuum may be at work in it: only a superuser may end that, and it is over in a moment. */
export async function dropDatabase(url: string, name: string): Promise<void> {
  await until(`${name} to be dropped`, async () => {
    await asOwner(url, `drop database if exists ${name} with (force)`);
    return true;
  });
}

async function asOwner(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
