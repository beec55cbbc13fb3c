import { afterAll, beforeAll } from 'vitest';
import { buildApp } from '../../src/api/app.ts';
import type { App, Parts } from '../../src/api/parts.ts';
import { createNetwork } from '../../src/destinations/network.ts';
import { openDatabase } from '../../src/ledger/database.ts';
import { listen } from '../../src/ledger/listen.ts';
import { createLog } from '../../src/log.ts';
import { createVault } from '../../src/secrets.ts';
import { freshDatabase } from '../support/database.ts';

export const masterKey = 'master-key-of-the-test';

export interface Answer {
  status: number;
  headers: Record<string, string>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into every answer
  body: any;
  text: string;
}

export interface World {
  app: App;
  parts: Parts;
  url: string;
  ask(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  /** How many rows of a table there are. */
  count(table: 'broadcasts' | 'deliveries' | 'destinations' | 'audiences' | 'api_keys'): Promise<number>;
  webhook(name: string, more?: object): Promise<Answer>;
}

/** The whole API on a real database of its own, for one test file; without workers, so that nothing is ever sent. */
export function world(overrides: Partial<Parts['config']> & { reachQueue?: () => Promise<void> } = {}): World {
  const here = {} as World;
  let leave: () => Promise<void>;

  beforeAll(async () => {
    const fresh = await freshDatabase();
    const db = openDatabase(fresh.url, { max: 8 });
    const { reachQueue = async () => {}, ...config } = overrides;
    const convergence = listen(db);
    const parts: Parts = {
      config: { apiKey: masterKey, allowPrivateNetworks: true, maxBacklog: 100_000, ...config },
      db,
      vault: createVault(Buffer.alloc(32, 7)),
      network: createNetwork({ allowPrivateNetworks: true }),
      log: createLog('silent'),
      convergence,
      reachQueue,
    };
    const app = await buildApp(parts);
    await app.ready();
    leave = async () => {
      await convergence.close();
      await app.close();
      await parts.network.close();
      await db.end();
      await fresh.drop();
    };
    Object.assign(here, { app, parts, url: fresh.url });
  });
  afterAll(() => leave?.());

  return Object.assign(here, {
    async ask(method, path, body, headers = {}) {
      const answer = await here.app.inject({
        method: method as 'GET',
        url: path,
        headers: { authorization: `Bearer ${masterKey}`, ...headers },
        ...(body !== undefined && { payload: body as object }),
      });
      const isJson = /json/.test(String(answer.headers['content-type']));
      return {
        status: answer.statusCode,
        headers: answer.headers as Record<string, string>,
        body: isJson ? answer.json() : null,
        text: answer.body,
      };
    },
    async count(table) {
      const { rows } = await here.parts.db.query(`select count(*)::int as n from ${table}`);
      return rows[0].n;
    },
    webhook: (name, more = {}) =>
      here.ask('PUT', `/destinations/${name}`, {
        kind: 'webhook',
        settings: { url: `http://127.0.0.1:9/${name}` },
        ...more,
      }),
  } satisfies Partial<World>);
}

export const message = { title: 'P1: checkout is down' };
