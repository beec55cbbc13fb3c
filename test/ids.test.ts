import { TypeID } from 'typeid-js';
import { expect, test } from 'vitest';
import { lowestId, newId, timeOfId } from '../src/ids.ts';

const many = 20_000;

test('an id is a TypeID of a UUIDv7 that tells when it was made', () => {
  const before = Date.now();
  const id = newId('dl');
  const after = Date.now();
  const read = TypeID.fromString(id);
  expect(read.getType()).toBe('dl');
  const uuid = read.toUUID();
  expect(uuid).toMatch(/^[\da-f]{8}-[\da-f]{4}-7[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
  const made = Number.parseInt(uuid.replaceAll('-', '').slice(0, 12), 16);
  expect(made).toBeGreaterThanOrEqual(before);
  // More ids than a millisecond can count borrow from the next ones.
  expect(made).toBeLessThanOrEqual(after + 1_000);
});

test('ids sort in the order in which they were made, also within one millisecond, and none comes twice', () => {
  const ids = Array.from({ length: many }, () => newId('bc'));
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(many);
  expect(new Set(ids.map((id) => id.length))).toEqual(new Set([29]));
});

test('the end of an id is random', () => {
  const ids = Array.from({ length: many }, () => newId('bc'));
  expect(new Set(ids.map((id) => id.slice(-12))).size).toBe(many);
  for (let place = 1; place <= 12; place++) {
    const counts = new Map<string, number>();
    for (const id of ids) counts.set(id.at(-place) ?? '', (counts.get(id.at(-place) ?? '') ?? 0) + 1);
    expect(counts.size).toBe(32);
    // Six times as far from the mean as one in three lies: that never happens by chance.
    const mean = many / 32;
    for (const n of counts.values()) expect(Math.abs(n - mean)).toBeLessThan(6 * Math.sqrt(mean));
  }
});

test('the lowest id of a millisecond sorts after every id from before it, and before every id of it', () => {
  const ids = Array.from({ length: many }, () => newId('dl'));
  for (const id of ids.slice(-100)) {
    const made = timeOfId(id) as number;
    expect(lowestId('dl', made) <= id).toBe(true);
    expect(lowestId('dl', made + 1) > id).toBe(true);
  }
});
