import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest';
import { lowestId, newId, timeOfId } from '../../src/ids.ts';
import { openDatabase } from '../../src/ledger/database.ts';
import { listBroadcasts } from '../../src/ledger/list-broadcasts.ts';
import { listDeliveries } from '../../src/ledger/list-deliveries.ts';
import { migrate } from '../../src/ledger/migrate.ts';
import { dropDatabase } from '../support/database.ts';
import { type Ledger, openLedger, putDestination, record } from '../support/ledger.ts';

let ledger: Ledger;
beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  await ledger.clear();
  await putDestination(ledger.db, 'ops');
  await putDestination(ledger.db, 'chat');
});
afterAll(() => ledger.close());

const all = { states: null, destination: null, since: null, until: null };
const first = { limit: 50, after: null };
const minute = 60_000;

describe('an id', () => {
  test('tells when it was made', () => {
    const before = Date.now();
    const time = timeOfId(newId('dl')) ?? 0;
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now());
  });

  test('is not below the lowest of its millisecond, and below the lowest of the next', () => {
    const id = newId('bc');
    const time = timeOfId(id) ?? 0;
    expect(lowestId('bc', time) <= id).toBe(true);
    expect(id < lowestId('bc', time + 1)).toBe(true);
  });

  test('has a lowest one for any time that can be asked for', () => {
    const times = ['0001-01-01', '1969-12-31', '1970-01-01', '2026-03-02', '9999-12-31'].map((day) => Date.parse(day));
    const lowest = times.map((time) => lowestId('bc', time));
    expect(lowest).toEqual([...lowest].sort());
    expect(lowest.map(timeOfId)).toEqual(times.map((time) => Math.max(time, 0)));
  });

  test('that is none of ours tells no time', () => {
    expect(timeOfId('bc_1')).toBeNull();
  });
});

describe('since and until', () => {
  /** A broadcast that was recorded then, by a process whose clock was so far off. */
  async function recorded(at: number, offMs: number) {
    const id = lowestId('bc', at + offMs);
    const delivery = lowestId('dl', at + offMs);
    await record(ledger.db, { id });
    await ledger.db.query('update broadcasts set created_at = $2 where id = $1', [id, new Date(at)]);
    await ledger.db.query('update deliveries set created_at = $2, id = $3 where broadcast_id = $1', [
      id,
      new Date(at),
      delivery,
    ]);
    return { id, delivery };
  }

  test.each([-10, 0, 10])('mean when it was recorded, where a clock was %i minutes off', async (minutes) => {
    const at = Date.parse('2026-03-02T12:00:00Z');
    const { id, delivery } = await recorded(at, minutes * minute);
    const bounds = [
      [{ since: new Date(at) }, true],
      [{ since: new Date(at + 1) }, false],
      [{ until: new Date(at + 1) }, true],
      [{ until: new Date(at) }, false],
      [{ since: new Date(at), until: new Date(at + 1) }, true],
    ] as const;
    for (const [bound, found] of bounds) {
      const filter = { ...all, ...bound };
      const { rows } = await listDeliveries(ledger.db, { ...filter, broadcast: null }, first);
      expect(rows.map((row) => row.id)).toEqual(found ? [delivery] : []);
      const { rows: read } = await listBroadcasts(ledger.db, { ...filter, topic: null, severities: null }, first);
      expect(read.map(({ broadcast }) => broadcast.id)).toEqual(found ? [id] : []);
    }
  });
});

test('a broadcast that went to its fallback a month later is listed there in its own place', async () => {
  const days = (n: number) => Date.parse('2026-03-02T12:00:00Z') + n * 24 * 60 * minute;
  // So many that they are not simply all read.
  const others = Array.from({ length: 120 }, (_, n) => lowestId('bc', days(n) + minute));
  for (const id of others) await record(ledger.db, { id, to: ['chat'] });
  await ledger.db.query(`update deliveries set id = 'dl_' || substr(broadcast_id, 4)`);
  const late = lowestId('bc', days(60));
  await record(ledger.db, { id: late, to: ['ops'] });
  await ledger.db.query(
    `insert into deliveries (id, broadcast_id, destination, kind, required, priority, max_attempts, due_at, escalated_from)
     values ($1, $2, 'chat', 'webhook', true, 1, 3, now(), 'dl_first')`,
    [lowestId('dl', days(90)), late],
  );
  const listed: string[] = [];
  for (let after: string[] | null = null; ; ) {
    const page = await listBroadcasts(
      ledger.db,
      { ...all, destination: 'chat', topic: null, severities: null },
      { limit: 7, after },
    );
    listed.push(...page.rows.map(({ broadcast }) => broadcast.id));
    if (!page.next) break;
    after = page.next;
  }
  expect(listed).toEqual([...others, late].sort().reverse());
});

test('what goes to a destination in the same moment is listed in the order of the broadcasts', async () => {
  const at = Date.parse('2026-03-02T12:00:00Z');
  const ids = Array.from({ length: 120 }, (_, n) => lowestId('bc', at + n));
  for (const id of ids) await record(ledger.db, { id, to: ['chat'] });
  // Several processes made their ids: the deliveries are in another order than their broadcasts.
  await ledger.db.query(
    `update deliveries d set id = 'dl_' || substr(o.other, 4)
       from (select id, lead(id, 5, id || 'x') over (order by md5(id)) as other from broadcasts) o where o.id = d.broadcast_id`,
  );
  const filter = { ...all, destination: 'chat', topic: null, severities: null };
  const { rows } = await listBroadcasts(ledger.db, filter, { limit: 10, after: null });
  expect(rows.map(({ broadcast }) => broadcast.id)).toEqual(ids.toReversed().slice(0, 10));
});

test('lists are in the order of time whatever the order of letters in the database', async () => {
  const { url, prefix } = inject('database');
  const name = `${prefix}czech`;
  // Czech sorts "ch" behind "h".
  await ledger.db.query(
    `create database ${name} template template0 locale 'C' locale_provider icu icu_locale 'cs-CZ' encoding 'UTF8'`,
  );
  const own = new URL(url);
  own.pathname = `/${name}`;
  const db = openDatabase(own.href);
  try {
    await migrate(db);
    const sorted = await db.query(
      `select string_agg(x, ' ' order by x) as it from unnest(array['ch', 'd', 'h']) g (x)`,
    );
    expect(sorted.rows[0].it).toBe('d h ch');
    await putDestination(db, 'ops');
    const ids = ['0c', '0ch', '0d', '0h', '0j'].map((start) => `bc_${start.padEnd(26, '0')}`);
    for (const id of ids) await record(db, { id });
    await db.query(`update deliveries set id = 'dl_' || substr(broadcast_id, 4)`);
    const { rows } = await listDeliveries(db, { ...all, broadcast: null }, first);
    expect(rows.map((row) => row.broadcast_id)).toEqual(ids.toReversed());
    for (const destination of [null, 'ops']) {
      const { rows: read } = await listBroadcasts(
        db,
        { ...all, destination, topic: null, severities: null },
        { limit: 50, after: [ids[3] as string] },
      );
      expect(read.map(({ broadcast }) => broadcast.id)).toEqual(ids.slice(0, 3).toReversed());
    }
  } finally {
    await db.end();
    await dropDatabase(url, name);
  }
});
