import pg from 'pg';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { until } from '../support/until.ts';
import { message, world } from './world.ts';

const here = world();
const { ask, webhook } = here;
const open = { authorization: '' };

beforeAll(() => webhook('one'));
afterEach(() => vi.restoreAllMocks());

/** Counts the statements that pass through the driver on their way to PostgreSQL. */
function statements(): (part: string) => number {
  const query = vi.spyOn(pg.Client.prototype, 'query');
  const textOf = (given: unknown) => (typeof given === 'string' ? given : (given as { text?: string } | null)?.text);
  return (part) => query.mock.calls.filter(([given]) => textOf(given)?.includes(part)).length;
}

test('many scrapes at once measure the ledger once, and a broadcast is recorded meanwhile', async () => {
  const count = statements();
  const lock = await here.parts.db.connect();
  try {
    // The measuring reads this table, and the recording of a broadcast does not.
    await lock.query('begin');
    await lock.query('lock table budgets in access exclusive mode');
    const scrapes = Array.from({ length: 64 }, () => ask('GET', '/metrics', undefined, open));
    await until('the measuring to wait', async () => {
      const waiting = `select from pg_locks where not granted and relation = 'budgets'::regclass`;
      return ((await lock.query(waiting)).rowCount ?? 0) > 0;
    });
    const posted = await ask('POST', '/broadcasts', {
      message: { ...message, severity: 'critical' },
      destinations: ['one'],
    });
    expect(posted.status).toBe(202);
    await lock.query('commit');
    const answers = await Promise.all(scrapes);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(count('oldestOpenSeconds')).toBe(1);
    await ask('GET', '/metrics', undefined, open);
    expect(count('oldestOpenSeconds')).toBe(1);
  } finally {
    lock.release();
  }
});

test('many probes at once ask the database once', async () => {
  const count = statements();
  await Promise.all(Array.from({ length: 64 }, () => ask('GET', '/readyz', undefined, open)));
  expect(count('select 1')).toBe(1);
});

describe.each(['/openapi.yaml', '/docs/json', '/docs/yaml'])('the document at %s', (path) => {
  test('was written before anybody asked, and is not written again', async () => {
    const described = vi.spyOn(here.app, 'swagger');
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask('GET', path, undefined, open)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(described).not.toHaveBeenCalled();
  });

  test('is not sent again to a client that has it', async () => {
    const { etag = '' } = (await ask('GET', path, undefined, open)).headers;
    for (const known of [etag, `W/${etag}`, `"another", ${etag}`, '*']) {
      const again = await ask('GET', path, undefined, { ...open, 'if-none-match': known });
      expect([known, again.status, again.text, again.headers.etag]).toEqual([known, 304, '', etag]);
    }
    expect((await ask('GET', path, undefined, { ...open, 'if-none-match': '"another"' })).status).toBe(200);
  });
});

test('the page of the documentation is told the same API in JSON as programs in YAML', async () => {
  const [yaml, json] = [
    await ask('GET', '/openapi.yaml', undefined, open),
    await ask('GET', '/docs/json', undefined, open),
  ];
  expect(json.body).toEqual(parse(yaml.text));
});
