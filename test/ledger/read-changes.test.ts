import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { type Database, openDatabase } from '../../src/ledger/database.ts';
import { migrate } from '../../src/ledger/migrate.ts';
import { pauseDestination } from '../../src/ledger/pause-destination.ts';
import { type Change, presentPosition, readChanges } from '../../src/ledger/read-changes.ts';
import { stamp } from '../../src/ledger/rows.ts';
import { dropDatabase } from '../support/database.ts';
import { attempt, end, failed, type Ledger, one, openLedger, putDestination, record, take } from '../support/ledger.ts';
import { until } from '../support/until.ts';

let ledger: Ledger;
let db: Database;

beforeAll(async () => {
  ledger = await openLedger();
  db = ledger.db;
});
afterAll(() => ledger.close());
beforeEach(async () => {
  await ledger.clear();
  await putDestination(db, 'ops');
});

const nameOf = (change: Change) =>
  change.is === 'delivery'
    ? change.delivery.id
    : change.is === 'broadcast'
      ? change.broadcast.broadcast.id
      : change.destination.name;

/** Everything behind a position, in pages of so many, once nothing is held back any more. */
async function allBehind(position: string, { limit = 50, broadcast = null as string | null } = {}) {
  const told: Change[] = [];
  for (;;) {
    const page = await readChanges(db, position, { limit, broadcast });
    if (!page) throw new Error(`${position} is not known`);
    expect(page.changes.length).toBeLessThanOrEqual(limit);
    told.push(...page.changes);
    position = page.next;
    // Other files share the server, and what is under way there holds changes back here.
    if (!page.more && !page.heldBack) return { told, names: told.map(nameOf), position };
  }
}

/** Behind all that this file has done so far. */
async function present(): Promise<string> {
  return (await allBehind(await presentPosition(db))).position;
}

test('each thing that changed is told once, as it is now, deliveries before their broadcast', async () => {
  const before = await present();
  const { id, deliveries } = await record(db, { to: ['ops', 'other'] });
  const born = await allBehind(before);
  expect(born.names).toEqual([...deliveries, id]);
  await take(db, deliveries[0] ?? '');
  expect((await allBehind(born.position)).names).toEqual([deliveries[0]]);
  await attempt(db, deliveries[1] ?? '', failed('transient'));
  const { told } = await allBehind(before);
  expect(told.map((change) => (change.is === 'delivery' ? change.delivery.state : change.is))).toEqual([
    'broadcast',
    'sending',
    'retrying',
    // Its faults are counted, which is no news.
  ]);
});

test('a broadcast that has converged is told behind the end of its last delivery', async () => {
  const { id, delivery } = await record(db);
  const before = await present();
  await end(db, delivery, 'confirmed');
  const { told, names } = await allBehind(before);
  expect(names).toEqual([delivery, id]);
  expect(told[1]).toMatchObject({
    broadcast: { broadcast: { state: 'delivered' }, deliveries: [{ state: 'confirmed' }] },
  });
});

test('of one broadcast only that and its deliveries are told', async () => {
  const before = await present();
  const [wanted] = [await record(db), await record(db)];
  await pauseDestination(db, 'ops', 'for a while');
  expect((await allBehind(before, { broadcast: wanted.id })).names).toEqual([wanted.delivery, wanted.id]);
});

test('who goes on between two destinations of one transaction misses none, whatever the order of letters in the database', async () => {
  const { url, prefix } = inject('database');
  const name = `${prefix}czech_changes`;
  // Czech sorts "ch" behind "h".
  await db.query(
    `create database ${name} template template0 locale 'C' locale_provider icu icu_locale 'cs-CZ' encoding 'UTF8'`,
  );
  const own = new URL(url);
  own.pathname = `/${name}`;
  const czech = openDatabase(own.href);
  try {
    await migrate(czech);
    const before = await presentPosition(czech);
    await czech.query(
      `insert into destinations (name, kind, settings, secrets, policy) select name, 'webhook', '{}', '', '{}' from unnest($1::text[]) g (name)`,
      [['chat', 'deploys', 'hotline']],
    );
    const behind = async (position: string) => {
      let names: string[] = [];
      let last: Change | undefined;
      await until('all of them', async () => {
        const page = await readChanges(czech, position);
        names = page?.changes.map(nameOf) ?? [];
        last = page?.changes[0];
        return page?.heldBack === false;
      });
      return { names, first: last?.position ?? '' };
    };
    const all = await behind(before);
    expect(all.names).toHaveLength(3);
    expect((await behind(all.first)).names).toEqual(all.names.slice(1));
  } finally {
    await czech.end();
    await dropDatabase(url, name);
  }
});

test('every statement of the ledger that changes a delivery says in which transaction', async () => {
  const folder = new URL('../../src/ledger/', import.meta.url);
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.ts'));
  const texts = await Promise.all(files.map((name) => readFile(new URL(name, folder), 'utf8')));
  const statements = texts.flatMap((text) => text.match(/update deliveries\b[\s\S]*?\bwhere\b/g) ?? []);
  expect(statements.length).toBeGreaterThan(6);
  for (const statement of statements) expect(statement).toContain(`\${stamp}`);
});

test('faults in a row are no news about the destination until they open its breaker', async () => {
  const faulty = async () => {
    const { delivery } = await record(db);
    const before = await present();
    await attempt(db, delivery, failed('transient'));
    return (await allBehind(before)).told.find(({ is }) => is === 'destination');
  };
  for (let fault = 1; fault <= 4; fault++) expect(await faulty()).toBeUndefined();
  expect(await faulty()).toMatchObject({ destination: { name: 'ops', breaker: 'open', faults: 5 } });
});

test('pages of any size tell the same, also when one transaction changed more than a page holds', async () => {
  const before = await present();
  const places = Array.from({ length: 20 }, (_, n) => `place-${n}`);
  for (let n = 0; n < 3; n++) await record(db, { to: places });
  const { names } = await allBehind(before);
  expect(names).toHaveLength(63);
  for (const limit of [1, 7, 20, 21, 63]) expect((await allBehind(before, { limit })).names).toEqual(names);
});

describe('transactions that end in another order than they began', () => {
  test('what the earlier one changed is not missed by who has read on meanwhile', async () => {
    const [slow, quick] = [await record(db), await record(db)];
    const before = await present();
    const touch = `update deliveries set attempt = attempt + 1, ${stamp} where id = $1`;
    const client = await db.connect();
    await client.query('begin');
    await client.query(touch, [slow.delivery]);
    await db.query(touch, [quick.delivery]);
    const meanwhile = await readChanges(db, before);
    expect(meanwhile).toMatchObject({ changes: [], heldBack: true });
    await client.query('commit');
    client.release();
    const { names } = await allBehind(meanwhile?.next ?? '');
    expect(names).toEqual([slow.delivery, quick.delivery]);
  });

  test('whoever follows ends with the newest state of every row, and never goes back, whatever the order', async () => {
    const places = Array.from({ length: 12 }, (_, n) => `place-${n}`);
    const { deliveries } = await record(db, { to: places });
    let position = await present();
    const known = new Map<string, number>();
    const steps: string[] = [];
    const writers = Array.from({ length: 8 }, () => write(deliveries));
    let writing = true;
    const done = Promise.all(writers).then(() => {
      writing = false;
    });
    for (let last = false; !last; ) {
      const ending = !writing;
      const page = await readChanges(db, position, { limit: 3 });
      if (!page) throw new Error(`${position} is not known`);
      for (const change of page.changes) {
        if (change.is !== 'delivery') continue;
        const { id, attempt } = change.delivery;
        expect(attempt).toBeGreaterThan(known.get(id) ?? 0);
        known.set(id, attempt);
        steps.push(change.position);
      }
      position = page.next;
      last = ending && !page.more && !page.heldBack;
    }
    await done;
    const { rows } = await db.query<{ id: string; attempt: number }>('select id, attempt from deliveries');
    expect(known).toEqual(new Map(rows.map(({ id, attempt }) => [id, attempt])));
    const inOrder = steps.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1));
    expect(steps).toEqual(inOrder);
    expect(new Set(steps).size).toBe(steps.length);
  });

  /** Changes some of them together, again and again, and takes its time before the end, which now and then is a rollback. */
  async function write(ids: string[]): Promise<void> {
    for (let times = 0; times < 40; times++) {
      const some = ids.filter(() => Math.random() < 0.2);
      const client = await db.connect();
      await client.query('begin');
      for (const id of some) {
        await client.query(`update deliveries set attempt = attempt + 1, updated_at = now(), ${stamp} where id = $1`, [
          id,
        ]);
        await client.query('select pg_sleep(random() * 0.004)');
      }
      await client.query(Math.random() < 0.1 ? 'rollback' : 'commit');
      client.release();
    }
  }
});

describe('a database from elsewhere', () => {
  const beyond = `update deliveries set changed_in = (pg_current_xact_id()::text::bigint + 1000000)::text::xid8`;

  test('a position that it never gave out is not known', async () => {
    expect(await readChanges(db, '999999999999.dl_1')).toBeNull();
    expect(await readChanges(db, '999999999999.', { broadcast: 'bc_1' })).toBeNull();
  });

  test('stamps of transactions to come are forgotten at the next start, and changes are news again', async () => {
    const { delivery } = await record(db);
    await db.query(beyond);
    await migrate(db);
    expect(await one(db, 'select changed_in::text as it from deliveries')).toEqual({ it: '0' });
    const before = await present();
    await take(db, delivery);
    expect((await allBehind(before)).names).toEqual([delivery]);
  });

  test('a start on a database of its own forgets nothing', async () => {
    const before = await present();
    const { id, delivery } = await record(db);
    await migrate(db);
    expect((await allBehind(before)).names).toEqual([delivery, id]);
  });

  test('what was there before changes were stamped is no news', async () => {
    const old = await openLedger();
    try {
      const first = await readFile(new URL('../../src/ledger/migrations/001-ledger.sql', import.meta.url), 'utf8');
      await old.db.query('drop schema public cascade');
      await old.db.query('create schema public');
      await old.db.query(
        'create table migrations (name text primary key, applied_at timestamptz not null default now())',
      );
      await old.db.query(`insert into migrations (name) values ('001-ledger.sql')`);
      await old.db.query(first);
      // As a version of that time wrote it.
      await putDestination(old.db, 'ops');
      const delivery = 'dl_old';
      await old.db.query(`
        insert into broadcasts (id, severity, correlation_id, metadata) values ('bc_old', 'info', 'test', '{}');
        insert into revisions (broadcast_id, revision, message) values ('bc_old', 1, '{"title":"Old","severity":"info"}');
        insert into deliveries (id, broadcast_id, destination, kind, required, priority, max_attempts, due_at)
          values ('${delivery}', 'bc_old', 'ops', 'webhook', true, 4, 3, now())`);
      await migrate(old.db);
      expect(await readChanges(old.db, '1.')).toMatchObject({ changes: [] });
      const before = (await readChanges(old.db, '1.'))?.next ?? '';
      await take(old.db, delivery);
      const told = await until('the claim to be told', async () => {
        const page = await readChanges(old.db, before);
        return page?.changes.length ? page.changes : null;
      });
      expect(told.map(nameOf)).toEqual([delivery]);
    } finally {
      await old.close();
    }
  });
});
