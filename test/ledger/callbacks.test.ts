import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Database, openDatabase } from '../../src/ledger/database.ts';
import { listBroadcasts } from '../../src/ledger/list-broadcasts.ts';
import { readBroadcast } from '../../src/ledger/read-broadcast.ts';
import { representBroadcast } from '../../src/ledger/represent.ts';
import { retry } from '../../src/ledger/retry.ts';
import { retract, revise } from '../../src/ledger/revise.ts';
import { tellEvents } from '../../src/ledger/tell-events.ts';
import {
  attempt,
  callbacks,
  claimOne,
  end,
  failed,
  type Ledger,
  letPass,
  one,
  openLedger,
  putDestination,
  type Recorded,
  type Row,
  record,
  row,
  settleOne,
  stateOf,
  success,
  take,
} from '../support/ledger.ts';

let ledger: Ledger;
/** One connection: the rows that another one reads are counted whenever that pleases. */
let db: Database;

beforeAll(async () => {
  ledger = await openLedger();
  db = openDatabase(ledger.url, { max: 1 });
});
beforeEach(async () => {
  await putDestination(db, 'oncall', { kind: 'pagerduty' });
  await putDestination(db, 'ops', { fallback: 'oncall' });
  await putDestination(db, 'chat');
});
afterEach(() => ledger.clear());
afterAll(async () => {
  await db.end();
  await ledger.close();
});

const everything = ['broadcast.converged', 'broadcast.updated', 'delivery.confirmed', 'delivery.dead'];
const callback = (...events: string[]) => ({ url: 'https://hooks.example.com/tocsin', events });
const typed = async (id: string, type: string) => (await callbacks(db, id)).filter(({ event }) => event?.type === type);
const last = async (id: string, type: string) => (await typed(id, type)).at(-1) as Row;
const text = (n: number | string) => ({ title: `Text ${n}`, severity: 'info' as const });

/** What the API answers about it, as it arrives at a client. */
async function represented(id: string): Promise<Record<string, unknown>> {
  const read = await readBroadcast(db, id);
  return read && JSON.parse(JSON.stringify(representBroadcast(read.broadcast, read.deliveries)));
}

/** What the callback posts, as it arrives. */
// biome-ignore lint/suspicious/noExplicitAny: read as a receiver does
async function told(call: Row): Promise<any> {
  if (!call.event) throw new Error('it is no callback');
  const [event] = await tellEvents(db, [{ broadcastId: call.broadcast_id, event: call.event }]);
  return JSON.parse(JSON.stringify(event));
}

async function many(count: number): Promise<Recorded> {
  const names = Array.from({ length: count }, (_, n) => `place-${n}`);
  for (const name of names) await putDestination(db, name);
  return record(db, { to: names, callback: callback(...everything) });
}

async function rowsRead(work: () => Promise<unknown>): Promise<number> {
  const sum = async () => {
    await db.query('select pg_stat_force_next_flush()');
    const { n } = await one<{ n: number }>(
      db,
      'select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::int as n from pg_stat_user_tables',
    );
    return n;
  };
  const before = await sum();
  await work();
  return (await sum()) - before;
}

describe('what a callback tells', () => {
  test('is the broadcast as the API answers it when it is sent, and what happened', async () => {
    const { id, deliveries } = await record(db, {
      to: ['ops', 'chat'],
      topic: 'INC-1',
      metadata: { team: 'a' },
      callback: callback(...everything),
    });
    const [ops = '', chat = ''] = deliveries;
    await end(db, chat, 'confirmed');
    const confirmed = await last(id, 'delivery.confirmed');
    expect(await told(confirmed)).toEqual({
      type: 'delivery.confirmed',
      timestamp: confirmed.created_at.toISOString(),
      revision: 1,
      deliveryId: chat,
      data: await represented(id),
    });
    await end(db, ops, 'dead');
    const { escalated_to: escalation } = await row(db, ops);
    await end(db, escalation ?? '', 'confirmed');
    expect(await told(await last(id, 'delivery.dead'))).toMatchObject({
      type: 'delivery.dead',
      deliveryId: ops,
      data: await represented(id),
    });
    expect(await told(await last(id, 'broadcast.converged'))).toMatchObject({
      type: 'broadcast.converged',
      data: await represented(id),
    });
    // One that waited tells what has happened since.
    expect((await told(confirmed)).data.state).toBe('partial');
  });

  test('is the verdict that it is about, even when the broadcast has gone on since', async () => {
    const { id, delivery } = await record(db, { to: ['chat'], callback: callback('broadcast.converged') });
    await end(db, delivery, 'dead');
    const { convergedAt } = await represented(id);
    await retry(db, { states: ['dead'], id: delivery });
    await revise(db, id, text(2));
    expect(await represented(id)).toMatchObject({ state: 'converging', convergedAt: null, revision: 2 });
    const call = await last(id, 'broadcast.converged');
    expect(await told(call)).toMatchObject({ revision: 1, data: { revision: 2, state: 'failed', convergedAt } });
    await end(db, delivery, 'confirmed');
    expect(await told(call)).toMatchObject({ data: { state: 'failed', convergedAt } });
    expect(await told(await last(id, 'broadcast.converged'))).toMatchObject({
      revision: 2,
      data: { state: 'delivered' },
    });
  });

  test('is still what was recorded, where an older version recorded it whole', async () => {
    const { id, delivery } = await record(db, { to: ['chat'], callback: callback('broadcast.converged') });
    await end(db, delivery, 'confirmed');
    const event = { type: 'broadcast.converged', timestamp: '2026-03-02T12:00:00.000Z', data: { id, state: 'failed' } };
    const { id: call } = await last(id, 'broadcast.converged');
    await db.query('update deliveries set event = $2 where id = $1', [call, event]);
    expect(await told(await row(db, call))).toEqual(event);
    expect(await take(db, call)).toMatchObject({ event });
  });

  test('keeps its id over all its attempts', async () => {
    const { id, delivery } = await record(db, { to: ['chat'], callback: callback('broadcast.converged') });
    await end(db, delivery, 'confirmed');
    const call = await last(id, 'broadcast.converged');
    await attempt(db, call.id, failed('transient'));
    await revise(db, id, text(2));
    await letPass(db, 60);
    expect(await take(db, call.id)).toMatchObject({ id: call.id, event: { type: 'broadcast.converged', revision: 1 } });
  });
});

describe('a callback costs little, however large its broadcast is', () => {
  test('to keep', async () => {
    const { id, deliveries } = await many(40);
    for (const delivery of deliveries) await end(db, delivery, 'confirmed');
    for (const { event } of await callbacks(db, id)) expect(JSON.stringify(event).length).toBeLessThan(250);
  });

  test('to settle: nothing of its broadcast is read', async () => {
    const { id, deliveries } = await many(60);
    for (const delivery of deliveries) await end(db, delivery, 'confirmed');
    const call = await last(id, 'broadcast.converged');
    const claimed = await take(db, call.id);
    expect(await rowsRead(() => settleOne(db, claimed, success))).toBeLessThan(40);
    expect(await stateOf(db, call.id)).toBe('confirmed');
  });

  test('to those who settle, read or list its broadcast', async () => {
    const { id, deliveries } = await record(db, { to: ['chat', 'ops'], callback: callback(...everything) });
    await db.query(
      `insert into deliveries (id, broadcast_id, role, destination, kind, event, required, priority, max_attempts, due_at)
       select 'dl_' || n, $1, 'callback', 'callback:x', 'callback', jsonb_build_object('type', 'delivery.dead', 'deliveryId', n::text),
              false, 4, 10, now()
         from generate_series(1, 2000) n`,
      [id],
    );
    await db.query('analyze');
    expect(await rowsRead(() => attempt(db, deliveries[0] ?? '', failed('transient')))).toBeLessThan(150);
    expect(await rowsRead(() => attempt(db, deliveries[1] ?? '', success))).toBeLessThan(200);
    expect(await rowsRead(() => revise(db, id, text(2)))).toBeLessThan(200);
    const everywhere = { states: null, topic: null, destination: null, severities: null, since: null, until: null };
    const { rows } = await listBroadcasts(db, everywhere, { limit: 10, after: null });
    expect(rows[0]?.deliveries.map(({ role }) => role)).toEqual(['message', 'message']);
    const shown = (await readBroadcast(db, id))?.deliveries.filter(({ role }) => role === 'callback') ?? [];
    expect([shown.length, shown.at(-1)?.id]).toEqual([100, (await callbacks(db, id)).at(-1)?.id]);
  });
});

describe('an event that was not delivered yet', () => {
  test('gives way to a newer one of its kind: many new texts leave one callback', async () => {
    const { id } = await record(db, { to: ['chat'], callback: callback('broadcast.updated') });
    for (let n = 2; n <= 12; n++) await revise(db, id, text(n));
    const all = await callbacks(db, id);
    expect(all.map(({ state, event }) => [state, event?.revision])).toEqual([['pending', 12]]);
  });

  test('that was tried already ends superseded, for its receiver may have dropped its id by now', async () => {
    const { id } = await record(db, { to: ['chat'], callback: callback('broadcast.updated') });
    await revise(db, id, text(2));
    await attempt(db, (await last(id, 'broadcast.updated')).id, failed('transient'));
    await revise(db, id, text(3));
    await revise(db, id, text(4));
    const all = await callbacks(db, id);
    expect(all.map(({ state, event }) => [state, event?.revision])).toEqual([
      ['superseded', 2],
      ['pending', 4],
    ]);
  });

  test('that is in flight is left alone', async () => {
    const { id } = await record(db, { to: ['chat'], callback: callback('broadcast.updated') });
    await revise(db, id, text(2));
    const sent = await take(db, (await last(id, 'broadcast.updated')).id);
    await revise(db, id, text(3));
    expect(await settleOne(db, sent, success)).toMatchObject({ state: 'confirmed' });
    const all = await callbacks(db, id);
    expect(all.map(({ state, event }) => [state, event?.revision])).toEqual([
      ['confirmed', 2],
      ['pending', 3],
    ]);
  });

  test('does not give way to one about another delivery, or of another type', async () => {
    const { id, deliveries } = await record(db, { to: ['chat', 'ops'], callback: callback(...everything) });
    for (const delivery of deliveries) await end(db, delivery, 'confirmed');
    expect((await callbacks(db, id)).map(({ event }) => event?.type).sort()).toEqual([
      'broadcast.converged',
      'broadcast.updated',
      'delivery.confirmed',
      'delivery.confirmed',
    ]);
  });

  test('never gives way when it tells a verdict', async () => {
    const { id, delivery } = await record(db, { to: ['chat'], callback: callback('broadcast.converged') });
    for (let n = 2; n <= 4; n++) {
      await end(db, delivery, 'confirmed');
      await revise(db, id, text(n));
    }
    expect((await callbacks(db, id)).map(({ event }) => event?.revision)).toEqual([1, 2, 3]);
  });

  test('is neither lost nor told twice when it is claimed while a newer one comes', async () => {
    for (let round = 0; round < 10; round++) {
      const { id } = await record(ledger.db, { to: ['chat'], callback: callback('broadcast.updated') });
      await revise(ledger.db, id, text(2));
      const call = await last(id, 'broadcast.updated');
      await Promise.all([revise(ledger.db, id, text(3)), claimOne(ledger.db, call.id)]);
      const open = await callbacks(db, id);
      const sending = open.find(({ state }) => state === 'sending');
      const waiting = open.filter(({ state }) => state === 'pending');
      // Either the claim has the newer event, or the newer event has a callback of its own.
      expect([sending?.event?.revision, ...waiting.map(({ event }) => event?.revision)].at(-1)).toBe(3);
      expect(waiting.length).toBeLessThanOrEqual(1);
    }
  });
});

test('a broadcast takes a thousand texts, and can be taken back after that', async () => {
  const { id, delivery } = await record(db, { to: ['chat'] });
  await db.query('update broadcasts set revision = 999 where id = $1', [id]);
  await db.query(`insert into revisions (broadcast_id, revision, message) values ($1, 999, '{"title": "Text 999"}')`, [
    id,
  ]);
  expect(await revise(db, id, text(1_000))).toBe('revised');
  expect(await revise(db, id, text(1_001))).toBe('exhausted');
  expect(await represented(id)).toMatchObject({ revision: 1_000, message: text(1_000) });
  expect(await revise(db, id, text(1_000))).toBe('unchanged');
  await retract(db, id);
  expect(await stateOf(db, delivery)).toBe('superseded');
});
