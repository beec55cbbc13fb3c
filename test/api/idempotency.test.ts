import { beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { message, world } from './world.ts';

const here = world();
const { ask, count, webhook } = here;
const valid = { message, destinations: ['one'] };

beforeAll(async () => {
  await webhook('one');
});

describe('an idempotency key', () => {
  const key = (name: string) => ({ 'idempotency-key': name });

  test('with the same body again answers the same broadcast, however the JSON was written', async () => {
    const first = await ask('POST', '/broadcasts', { ...valid, topic: 't' }, key('same'));
    const again = await ask('POST', '/broadcasts', { topic: 't', destinations: ['one'], message }, key('same'));
    expect([first.status, again.status]).toEqual([202, 200]);
    expect(first.headers['idempotent-replayed']).toBeUndefined();
    expect(again.headers['idempotent-replayed']).toBe('true');
    expect(again.headers.location).toBe(`/broadcasts/${first.body.id}`);
    expect(again.body).toEqual(first.body);
  });

  test('with another body is a conflict, and records nothing', async () => {
    const first = await ask('POST', '/broadcasts', valid, key('other'));
    const before = await count('broadcasts');
    const other = await ask('POST', '/broadcasts', { ...valid, topic: 'else' }, key('other'));
    expect(other.status).toBe(409);
    expect(other.body.broadcastId).toBe(first.body.id);
    expect(await count('broadcasts')).toBe(before);
  });

  test('still answers when the deadline has passed and the destination is gone', async () => {
    await webhook('brief');
    const expiresAt = new Date(Date.now() + 3_000);
    const body = { message, destinations: ['brief'], expiresAt: expiresAt.toISOString() };
    const first = await ask('POST', '/broadcasts', body, key('late'));
    await here.parts.db.query(
      `update deliveries set state = 'cancelled', due_at = null, ended_at = now() where destination = 'brief'`,
    );
    expect((await ask('DELETE', '/destinations/brief')).status).toBe(204);
    await until('the deadline to pass', () => new Date() > expiresAt);
    const again = await ask('POST', '/broadcasts', body, key('late'));
    expect([again.status, again.body.id]).toEqual([200, first.body.id]);
    expect((await ask('POST', '/broadcasts', { ...body, topic: 'else' }, key('late'))).status).toBe(409);
  });

  test('sent ten times at once makes one broadcast', async () => {
    const before = await count('broadcasts');
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => ask('POST', '/broadcasts', valid, key('together'))),
    );
    expect(answers.filter(({ status }) => status === 202)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(9);
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(await count('broadcasts')).toBe(before + 1);
  });
});
