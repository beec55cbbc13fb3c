import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Claimed } from '../../src/ledger/claim.ts';
import type { Database } from '../../src/ledger/database.ts';
import { retry } from '../../src/ledger/retry.ts';
import { settle } from '../../src/ledger/settle.ts';
import { createLog } from '../../src/log.ts';
import { createDrains, type Drains } from '../../workers/drain.ts';
import { type LaneBook, watchLanes } from '../../workers/lanes.ts';
import { end, type Ledger, openLedger, putDestination, record, repeatable, success } from '../support/ledger.ts';
import { until } from '../support/until.ts';

const log = createLog('silent');
let ledger: Ledger;
let book: LaneBook;
let drains: Drains;
/** What was claimed, in this order. */
let claimed: Claimed[];
/** Lets an attempt end. */
let finish: (() => Promise<void>)[];
/** What was told as an error. */
let errors: { destinations?: string[] }[];
/** The most rows that one statement answered. */
let largest: number;

/** An attempt, which ends as soon as `finish` is called. */
const make = (one: Claimed) =>
  new Promise<null>((resolve) => {
    claimed.push(one);
    finish.push(async () => {
      await settle(ledger.db, [{ id: one.id, claim: one.claim, outcome: success, rules: repeatable, claimed: one }]);
      resolve(null);
    });
  });

/** The ledger's database, watched. */
function watched(db: Database): Database {
  const query = async (...given: unknown[]) => {
    const answer = await (db.query as (...all: unknown[]) => Promise<{ rows: unknown[] }>).apply(db, given);
    largest = Math.max(largest, answer.rows.length);
    return answer;
  };
  return { query } as unknown as Database;
}

beforeAll(async () => {
  ledger = await openLedger();
});
beforeEach(async () => {
  [claimed, finish, errors, largest] = [[], [], [], 0];
  await putDestination(ledger.db, 'ops', { policy: { concurrency: 1 } });
  book = watchLanes({ db: ledger.db, log });
  drains = createDrains(
    { db: watched(ledger.db), log: { error: (told: object) => errors.push(told) } as unknown as typeof log },
    book,
    make,
    () => {},
  );
});
afterEach(async () => {
  const stopped = drains.stop();
  await until('all to end', async () => {
    await Promise.all(finish.splice(0).map((one) => one()));
    return Promise.race([stopped.then(() => true), new Promise((resolve) => setImmediate(() => resolve(false)))]);
  });
  await book.stop();
  await ledger.clear();
});
afterAll(() => ledger.close());

/** Follows jobs as the queue has them run; their ends are nobody's concern here. */
const drain = (destinations: readonly string[]) => {
  for (const destination of destinations) void drains.drain(destination);
};

describe('a drainer', () => {
  test('goes on behind what it had to hold, without being told', async () => {
    await putDestination(ledger.db, 'wide', { policy: { concurrency: 2 } });
    const topic = [];
    for (let n = 0; n < 6; n++) topic.push(await record(ledger.db, { to: ['wide'], topic: 'INC-1' }));
    for (const { delivery } of topic) await end(ledger.db, delivery, 'dead');
    await retry(ledger.db, { states: ['dead'] });
    const behind = await record(ledger.db, { to: ['wide'] });
    drain(['wide']);
    await until('the first of the topic, and what is behind the others', () => claimed.length === 2);
    expect(claimed.map(({ id }) => id)).toEqual([topic[0]?.delivery, behind.delivery]);
  });

  test('that another process left no places to goes on when its own attempts end, without being told', async () => {
    await putDestination(ledger.db, 'wide', { policy: { concurrency: 2 } });
    await record(ledger.db, { to: ['wide'] });
    drain(['wide']);
    await until('the only one', () => claimed.length === 1);
    for (let n = 0; n < 5; n++) await record(ledger.db, { to: ['wide'] });
    // As after a broadcast to very many: a shared job in one process, and the destination's own in another.
    const other = createDrains({ db: ledger.db, log }, book, make, () => {});
    void other.drain('wide');
    await until('one beside it', () => claimed.length === 2);
    await until('all others', async () => {
      await Promise.all(finish.splice(0).map((one) => one()));
      return claimed.length === 6;
    });
    await Promise.all(finish.splice(0).map((one) => one()));
    await other.stop();
  });

  test('begins more at once as soon as it may, though those in flight have not ended', async () => {
    await record(ledger.db);
    await record(ledger.db);
    drain(['ops']);
    await until('the first', () => claimed.length === 1);
    await ledger.db.query(`update destinations set policy = policy || '{"concurrency": 2}' where name = 'ops'`);
    book.wake();
    await until('the second', () => drains.nudge('ops') && claimed.length === 2);
  });

  test('of a destination whose policy cannot be read harms no other', async () => {
    const names = Array.from({ length: 8 }, (_, n) => `place-${n}`);
    for (const name of names) await putDestination(ledger.db, name);
    await record(ledger.db, { to: ['ops', ...names] });
    await book.limitsOf('place-7');
    await ledger.db.query(`update destinations set policy = policy || '{"timeoutMs": "soon"}' where name = 'ops'`);
    drain(['ops', ...names]);
    // A refused claim may still be ending when the next one asks, and then keeps its destinations to itself.
    await until('the others, and what is told of this one', () => {
      // A drainer that found nothing for a second has given its job back.
      drain(['ops', ...names].filter((name) => !drains.nudge(name)));
      return claimed.length >= names.length && errors.length > 0;
    });
    expect(claimed.map(({ destination }) => destination).sort()).toEqual(names);
    expect(new Set(errors.flatMap(({ destinations }) => destinations))).toEqual(new Set(['ops']));
  });

  test('shares the places for callbacks with all others, in one claim too', async () => {
    const hosts = Array.from({ length: 20 }, (_, n) => `host-${n}.example`);
    for (const host of hosts) {
      for (let n = 0; n < 4; n++) {
        const { delivery } = await record(ledger.db, {
          callback: { url: `https://${host}/`, events: ['broadcast.converged'] },
        });
        await end(ledger.db, delivery, 'confirmed');
      }
    }
    drain(hosts.map((host) => `callback:${host}`));
    await until('as many as may be', () => claimed.length >= 64);
    expect(claimed).toHaveLength(64);
    await Promise.all(finish.splice(0, 10).map((one) => one()));
    await until('the next ones', () => claimed.length >= 74);
    expect(claimed).toHaveLength(74);
  });

  test('claims a storm in parts, so that none waits for all', async () => {
    const names = Array.from({ length: 300 }, (_, n) => `place-${n}`);
    await Promise.all(names.map((name) => putDestination(ledger.db, name)));
    await Promise.all([1, 2, 3, 4].map(() => record(ledger.db, { to: names })));
    await Promise.all(names.map((name) => book.limitsOf(name)));
    largest = 0;
    drain(names);
    await until('all of them', () => claimed.length === 1_200);
    expect(largest).toBeLessThanOrEqual(500);
  });
});

test('very many busy destinations are not all looked at for each one of which something is told', async () => {
  const names = Array.from({ length: 200 }, (_, n) => `busy-${n}`);
  for (const name of names) await putDestination(ledger.db, name, { policy: { concurrency: 1 } });
  for (let n = 0; n < 2; n++) await record(ledger.db, { to: names });
  let looks = 0;
  const counted: LaneBook = {
    ...book,
    known(destination) {
      looks += 1;
      return book.known(destination);
    },
  };
  const many = createDrains({ db: ledger.db, log }, counted, make, () => {});
  for (const name of names) void many.drain(name);
  await until('all to be busy', () => claimed.length === names.length);
  looks = 0;
  for (const name of names) many.nudge(name);
  expect(looks).toBeLessThan(5 * names.length);
  const stopped = many.stop();
  await Promise.all(finish.splice(0).map((one) => one()));
  await stopped;
});

/** The ledger's database, and how many queries went there. */
function counting(): { db: Database; queries: number } {
  const counted = {
    queries: 0,
    db: {
      query: (...given: unknown[]) => {
        counted.queries += 1;
        return (ledger.db.query as (...all: unknown[]) => Promise<unknown>).apply(ledger.db, given);
      },
    } as unknown as Database,
  };
  return counted;
}

test('the limits of many new destinations are read once', async () => {
  const names = Array.from({ length: 50 }, (_, n) => `new-${n}`);
  for (const name of names) await putDestination(ledger.db, name);
  const counted = counting();
  const fresh = watchLanes({ db: counted.db, log });
  await Promise.all(names.map((name) => fresh.limitsOf(name)));
  await fresh.stop();
  expect(counted.queries).toBeLessThanOrEqual(3);
});

test('the limits of a destination that is made while others are read are its own', async () => {
  let answer = () => {};
  const asked = new Promise<void>((resolve) => {
    answer = resolve;
  });
  let readings = 0;
  const db = {
    query: async (...given: unknown[]) => {
      const found = await (ledger.db.query as (...all: unknown[]) => Promise<unknown>).apply(ledger.db, given);
      readings += 1;
      await asked;
      return found;
    },
  } as unknown as Database;
  const fresh = watchLanes({ db, log });
  const other = fresh.limitsOf('ops');
  await until('both to have read', () => readings === 2);
  await putDestination(ledger.db, 'late', { policy: { concurrency: 1, rateLimit: { max: 1, perMs: 1_000 } } });
  const late = fresh.limitsOf('late');
  answer();
  expect(await late).toEqual({ concurrency: 1, pace: { max: 1, perMs: 1_000 } });
  await other;
  await fresh.stop();
});

test('the limits of a destination are known though those of another cannot be read', async () => {
  await putDestination(ledger.db, 'odd');
  await ledger.db.query(`update destinations set policy = policy || '{"concurrency": "many"}' where name = 'odd'`);
  const fresh = watchLanes({ db: ledger.db, log });
  expect(await fresh.limitsOf('ops')).toMatchObject({ concurrency: 1 });
  await fresh.stop();
});

test('an older reading of the destinations that is answered late does not undo a newer one', async () => {
  let answer = () => {};
  const first = new Promise<void>((resolve) => {
    answer = resolve;
  });
  let readings = 0;
  const db = {
    query: async (...given: unknown[]) => {
      const found = await (ledger.db.query as (...all: unknown[]) => Promise<unknown>).apply(ledger.db, given);
      readings += 1;
      if (readings === 1) await first;
      return found;
    },
  } as unknown as Database;
  const fresh = watchLanes({ db, log });
  await until('the first to have read', () => readings === 1);
  await ledger.db.query(`update destinations set policy = policy || '{"concurrency": 2}'`);
  expect(await fresh.limitsOf('ops')).toMatchObject({ concurrency: 2 });
  answer();
  await new Promise(setImmediate);
  expect(fresh.known('ops')).toMatchObject({ concurrency: 2 });
  await fresh.stop();
});

test('of destinations that change one after the other, not each has all of them read, and the last is known all the same', async () => {
  const counted = counting();
  const fresh = watchLanes({ db: counted.db, log });
  await fresh.limitsOf('ops');
  for (let concurrency = 2; concurrency <= 40; concurrency++) {
    await ledger.db.query('update destinations set policy = $1', [{ concurrency }]);
    fresh.wake();
  }
  expect(counted.queries).toBeLessThan(20);
  await until('the last change', () => fresh.known('ops')?.concurrency === 40);
  await fresh.stop();
});
