import { expect, test } from 'vitest';
import { until } from './until.ts';

test('gives back the first truthy answer', async () => {
  let asked = 0;
  expect(await until('the third answer', () => (++asked === 3 ? 'here' : undefined), { everyMs: 1 })).toBe('here');
  expect(asked).toBe(3);
});

test('an error counts as not yet', async () => {
  let asked = 0;
  const answer = until('it to stop failing', async () => {
    if (++asked < 3) throw new Error('not yet');
    return asked;
  });
  expect(await answer).toBe(3);
});

test('says what it waited for and what it saw last', async () => {
  const quick = { timeoutMs: 20, everyMs: 5 };
  await expect(until('the moon', () => false, quick)).rejects.toThrow(/20 ms for the moon; the last value was false/);
  const fails = () => Promise.reject(new Error('clouds'));
  await expect(until('the moon', fails, quick)).rejects.toThrow(/the moon; the last error was clouds/);
});

test('a condition that never answers does not hold it for ever', async () => {
  const never = () => new Promise<boolean>(() => {});
  await expect(until('an answer', never, { timeoutMs: 20 })).rejects.toThrow(/an answer; .*no answer in time/);
});
