import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lowestId } from '../../src/ids.ts';
import { type Database, openDatabase } from '../../src/ledger/database.ts';
import { escalateOverdue } from '../../src/ledger/escalate-overdue.ts';
import { type BroadcastFilter, listBroadcasts } from '../../src/ledger/list-broadcasts.ts';
import { type DeliveryFilter, listDeliveries } from '../../src/ledger/list-deliveries.ts';
import { measure } from '../../src/ledger/measure.ts';
import { measureBacklog } from '../../src/ledger/measure-backlog.ts';
import { readDestinations } from '../../src/ledger/read-destinations.ts';
import { removeDestination } from '../../src/ledger/remove-destination.ts';
import { type Ledger, openLedger, putDestination } from '../support/ledger.ts';

// A long history, of which nearly all was confirmed. What else there is lies far back, so that statistics believe it to be frequent
// where nothing of it is recent. What is counted is the pages of tables and indexes that a list reads, and not how long that takes.

const broadcasts = 40_000;
const begin = Date.parse('2026-03-02T12:00:00Z');
const at = (n: number) => new Date(begin + n * 60_000);
const idAt = (prefix: 'bc' | 'dl', n: number) => lowestId(prefix, at(n).getTime());
const backlog = 500;

let ledger: Ledger;
/** One connection for everything: another one's counts would reach the server whenever that pleases. */
let db: Database;

beforeAll(async () => {
  ledger = await openLedger();
  db = openDatabase(ledger.url, { max: 1 });
  for (const name of ['d1', 'd2', 'd3', 'd4', 'd5', 'rare', 'gone', 'oncall']) await putDestination(db, name);
  for (const table of ['broadcasts', 'revisions', 'deliveries'])
    await db.query(`alter table ${table} set (autovacuum_enabled = false)`);
  const all = Array.from({ length: broadcasts }, (_, n) => n);
  await db.query(
    `insert into broadcasts (id, state, severity, topic, correlation_id, metadata, created_at, converged_at)
     select id, state, case when n between 100 and 130 then 'critical' when n < 5000 then 'error' else 'info' end,
            case when n between 200 and 230 then 'INC-1' when n < 3000 then 'old' end, 'x', '{}', at,
            case when state <> 'converging' then now() end
       from (select id, at, n - 1 as n, case when n > $3 then 'converging' when n <= 6000 or n % 2000 = 0 then 'partial' else 'delivered' end as state
               from unnest($1::text[], $2::timestamptz[]) with ordinality as g (id, at, n)) g`,
    [all.map((n) => idAt('bc', n)), all.map(at), broadcasts - backlog],
  );
  await db.query(
    `insert into revisions (broadcast_id, revision, message) select id, 1, '{"title": "P1", "severity": "info"}' from broadcasts`,
  );
  await db.query(
    `insert into deliveries (id, broadcast_id, destination, kind, required, priority, topic, max_attempts, confirmed, receipt, created_at,
                             waiting_since, state, due_at, lease_until, action, sending_revision, hold, ended_at, escalated_from)
     select 'dl_' || substr(id, 4, 25) || d, id,
            case when d = 1 and n % 8000 = 10 then 'rare' when d = 2 and n < 8000 then 'gone' else 'd' || d end, 'webhook', true, 4, topic, 3,
            case when state in ('confirmed') then 1 else 0 end, case when state = 'confirmed' then '{}'::jsonb end, at, at, state,
            case when state in ('pending', 'retrying') then now() end, case when state = 'sending' then now() end,
            case when state = 'sending' then 'deliver' end, case when state = 'sending' then 1 end,
            case when state = 'held' then 'paused' end, case when state in ('confirmed', 'dead') then now() end,
            case when d = 5 and n % 1000 = 7 then 'dl_earlier' end
       from (select id, topic, created_at as at, d, n - 1 as n,
                    case when n > $1 and d = 1 then 'pending' when n > $1 and d = 2 then 'held' when n > $1 + 495 and d = 3 then 'sending'
                         when n > $1 + 450 and d = 4 then 'retrying' when d = 4 and n <= 6000 or d = 3 and n % 2000 = 0 then 'dead'
                         else 'confirmed' end as state
               from (select *, row_number() over (order by id) as n from broadcasts) b cross join generate_series(1, 5) d) g`,
    [broadcasts - backlog],
  );
  // Sent to the fallback days later.
  await db.query(`update deliveries set id = 'dl_' || substr(id, 4, 24) || 'zz' where escalated_from is not null`);
  await db.query('analyze');
}, 240_000);
afterAll(async () => {
  await db.end();
  await ledger.close();
});

async function pagesRead(work: () => Promise<unknown>): Promise<number> {
  const count = async () => {
    await db.query('select pg_stat_force_next_flush()');
    const { rows } = await db.query(
      `select sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::int as n from pg_statio_user_tables`,
    );
    return rows[0].n;
  };
  const before = await count();
  await work();
  return (await count()) - before;
}

const anything = { states: null, destination: null, since: null, until: null };
const deliveryOf = (more: Partial<DeliveryFilter>): DeliveryFilter => ({ ...anything, broadcast: null, ...more });
const broadcastOf = (more: Partial<BroadcastFilter>): BroadcastFilter => ({
  ...anything,
  topic: null,
  severities: null,
  ...more,
});

const limit = 10;
const listed = {
  deliveries: async (filter: Partial<DeliveryFilter>, after: string | null) =>
    (await listDeliveries(db, deliveryOf(filter), { limit, after: after === null ? null : [after] })).rows.map(
      ({ id }) => id,
    ),
  broadcasts: async (filter: Partial<BroadcastFilter>, after: string | null) =>
    (await listBroadcasts(db, broadcastOf(filter), { limit, after: after === null ? null : [after] })).rows.map(
      ({ broadcast }) => broadcast.id,
    ),
};

/** The same as a list answers, without regard for how much is read. */
async function expected(
  list: 'deliveries' | 'broadcasts',
  filter: Partial<DeliveryFilter> & Partial<BroadcastFilter>,
  after: string | null,
): Promise<string[]> {
  const { states, destination, broadcast, topic, severities, since, until } = filter;
  const to =
    list === 'deliveries'
      ? 'its.destination = $4'
      : "exists (select from deliveries d where d.broadcast_id = its.id and d.role = 'message' and d.destination = $4 offset 0)";
  const own =
    list === 'deliveries'
      ? '($7::text is null or its.broadcast_id = $7) and $8::text is null and $9::text[] is null'
      : '$7::text is null and ($8::text is null or its.topic = $8) and ($9::text[] is null or its.severity = any($9))';
  const { rows } = await db.query<{ id: string }>(
    `select id from ${list} its
      where ($2::text is null or its.id < $2) and ($3::text[] is null or its.state = any($3)) and ($4::text is null or ${to})
        and ($5::timestamptz is null or its.created_at >= $5) and ($6::timestamptz is null or its.created_at < $6) and ${own}
      order by its.id desc limit $1`,
    [limit, after, states, destination, since, until, broadcast, topic, severities],
  );
  return rows.map(({ id }) => id);
}

const deliveryFilters: [string, Partial<DeliveryFilter>][] = [
  ['nothing', {}],
  ['state=confirmed', { states: ['confirmed'] }],
  ['state=dead', { states: ['dead'] }],
  ['state=unknown', { states: ['unknown'] }],
  ['state=dead&state=confirmed', { states: ['dead', 'confirmed'] }],
  ['state=dead&destination=d3', { states: ['dead'], destination: 'd3' }],
  ['state=dead&destination=d1', { states: ['dead'], destination: 'd1' }],
  ['state=confirmed&destination=rare', { states: ['confirmed'], destination: 'rare' }],
  ['state=dead&since', { states: ['dead'], since: at(30_000) }],
  ['state=dead&until', { states: ['dead'], until: at(5_000) }],
  ['destination=d1', { destination: 'd1' }],
  ['destination=rare', { destination: 'rare' }],
  ['destination=gone', { destination: 'gone' }],
  ['destination=gone&since', { destination: 'gone', since: at(20_000) }],
  ['destination=d2&until', { destination: 'd2', until: at(9_000) }],
  ['broadcast', { broadcast: idAt('bc', 20_000) }],
  ['broadcast&state=dead', { broadcast: idAt('bc', 100), states: ['dead'] }],
  ['since', { since: at(broadcasts - 5) }],
  ['since the future', { since: new Date('2999-01-01') }],
  ['until', { until: at(1_000) }],
  ['until before all', { until: at(-1) }],
  ['since&until', { since: at(20_000), until: at(20_002) }],
  ['state=sending', { states: ['sending'] }],
  ['state=retrying&destination=d4', { states: ['retrying'], destination: 'd4' }],
  ['state=pending', { states: ['pending'] }],
  ['state=held', { states: ['held'] }],
  ['state=retrying', { states: ['retrying'] }],
  ['state=pending&since', { states: ['pending'], since: at(broadcasts - 5) }],
  ['state=held&destination=d2', { states: ['held'], destination: 'd2' }],
  ['all open and dead', { states: ['pending', 'sending', 'verifying', 'retrying', 'held', 'dead'] }],
];
const broadcastFilters: [string, Partial<BroadcastFilter>][] = [
  ['nothing', {}],
  ['state=delivered', { states: ['delivered'] }],
  ['state=partial', { states: ['partial'] }],
  ['state=failed', { states: ['failed'] }],
  ['state=converging', { states: ['converging'] }],
  ['state=delivered&state=partial', { states: ['delivered', 'partial'] }],
  ['severity=critical', { severities: ['critical'] }],
  ['severity=warning', { severities: ['warning'] }],
  ['severity=error', { severities: ['error'] }],
  ['severity=error&severity=info', { severities: ['error', 'info'] }],
  ['severity=critical&state=partial', { severities: ['critical'], states: ['partial'] }],
  ['severity=critical&state=converging', { severities: ['critical'], states: ['converging'] }],
  ['severity=error&since', { severities: ['error'], since: at(20_000) }],
  ['state=partial&since', { states: ['partial'], since: at(30_000) }],
  ['topic=INC-1', { topic: 'INC-1' }],
  ['topic=old', { topic: 'old' }],
  ['topic=old&state=partial', { topic: 'old', states: ['partial'] }],
  ['topic=old&since', { topic: 'old', since: at(20_000) }],
  ['destination=d1', { destination: 'd1' }],
  ['destination=d5', { destination: 'd5' }],
  ['destination=gone', { destination: 'gone' }],
  ['destination=d5&state=converging', { destination: 'd5', states: ['converging'] }],
  ['destination=d1&severity=critical', { destination: 'd1', severities: ['critical'] }],
  ['destination=d3&until', { destination: 'd3', until: at(8_000) }],
  ['since', { since: at(broadcasts - 5) }],
  ['since the future', { since: new Date('2999-01-01') }],
  ['until', { until: at(1_000) }],
  ['until before all', { until: at(-1) }],
];

/** A page of these lists takes a few hundred. The history has many thousands. */
const most = 600;
const deep = broadcasts / 10;

for (const [list, filters] of [
  ['deliveries', deliveryFilters],
  ['broadcasts', broadcastFilters],
] as const) {
  describe(`a page of ${list}, the first or one far back, is read without its history:`, () => {
    test.each(filters as [string, Partial<DeliveryFilter> & Partial<BroadcastFilter>][])('%s', async (_, filter) => {
      for (const after of [null, idAt(list === 'deliveries' ? 'dl' : 'bc', deep)]) {
        let ids: string[] = [];
        const pages = await pagesRead(async () => {
          ids = await listed[list](filter, after);
        });
        expect(ids).toEqual(await expected(list, filter, after));
        expect(pages).toBeLessThan(most);
      }
    });
  });
}

test('the metrics read what is open or has failed, and nothing that was confirmed', async () => {
  const { rows } = await db.query(`select count(*)::int as n from deliveries where state <> 'confirmed'`);
  expect(await pagesRead(() => measure(db))).toBeLessThan(rows[0].n);
  expect(await pagesRead(() => measureBacklog(db))).toBeLessThan(most);
});

test('what is open at destinations is read without their history', async () => {
  const names = ['d1', 'd2', 'd3', 'd4', 'd5', 'gone'];
  const { rows } = await db.query(`select count(*)::int as n from deliveries where ended_at is null`);
  let open: unknown[] = [];
  const pages = await pagesRead(async () => {
    open = (await readDestinations(db, names)).map((each) => each.open);
  });
  expect(open).toEqual([{ pending: 500 }, { held: 500 }, { sending: 5 }, { retrying: 50 }, {}, {}]);
  expect(pages).toBeLessThan(rows[0].n + 100);
  expect(await pagesRead(() => removeDestination(db, 'gone'))).toBeLessThan(most);
});

test.each(['pending', 'held'])(
  'a long backlog that is %s and was escalated is not read to find what is to be',
  async (state) => {
    await putDestination(db, `full-${state}`, { fallback: 'oncall' });
    await db.query(
      `insert into deliveries (id, broadcast_id, destination, kind, required, priority, max_attempts, waiting_since, state, due_at, hold, escalated_to)
     select 'dl_' || $1 || substr(id, 4), id, 'full-' || $1, 'webhook', true, 1, 3, now() - interval '1 hour', $1,
            case when $1 = 'pending' then now() end, case when $1 = 'held' then 'paused' end, case when n <> 9999 then 'dl_fallback' end
       from (select id, row_number() over (order by id) as n from broadcasts limit 10000) b`,
      [state],
    );
    await db.query('analyze deliveries');
    const pages = await pagesRead(async () => expect(await escalateOverdue(db, 100)).toBe(1));
    expect(pages).toBeLessThan(most);
  },
);
