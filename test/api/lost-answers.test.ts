import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import { message, world } from './world.ts';

const here = world();
const { ask, count, webhook } = here;
const key = (name: string) => ({ 'idempotency-key': name });

beforeAll(() => webhook('one'));
afterEach(() => vi.restoreAllMocks());

/** PostgreSQL ends the connection right before, or right after, it has carried out this statement. */
function breakAt(statement: string, when: 'before' | 'after'): void {
  const { db } = here.parts;
  const query = db.query.bind(db) as (...given: unknown[]) => Promise<unknown>;
  vi.spyOn(db, 'query').mockImplementation((async (...given: [unknown]) => {
    if ((given[0] as { name?: string }).name !== statement) return query(...given);
    if (when === 'after') await query(...given);
    return query('select pg_terminate_backend(pg_backend_pid())');
  }) as never);
}

const body = { message, destinations: ['one'], topic: 'INC-1', metadata: { a: 'b' } };

test('a broadcast that is recorded and cannot be read back is answered 202 all the same', async () => {
  breakAt('read-broadcast', 'before');
  const answer = await ask('POST', '/broadcasts', body);
  vi.restoreAllMocks();
  expect([answer.status, answer.headers.location]).toEqual([202, `/broadcasts/${answer.body.id}`]);
  expect((await ask('GET', `/broadcasts/${answer.body.id}`)).body).toEqual(answer.body);
});

test('where the answer to the commit is lost, the client is told to repeat, and has then said it once', async () => {
  const before = await count('broadcasts');
  breakAt('accept', 'after');
  const lost = await ask('POST', '/broadcasts', body, key('lost'));
  vi.restoreAllMocks();
  expect([lost.status, lost.body.type]).toEqual([503, 'urn:tocsin:problem:database-unreachable']);
  expect(lost.body.detail).toMatch(/may be on record.*same Idempotency-Key/);
  expect(lost.body.detail).not.toMatch(/nothing was recorded/i);
  const again = await ask('POST', '/broadcasts', body, key('lost'));
  expect([again.status, again.headers['idempotent-replayed']]).toEqual([200, 'true']);
  expect(await count('broadcasts')).toBe(before + 1);
});
