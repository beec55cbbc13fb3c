import { describe, expect, test } from 'vitest';
import { gather } from '../src/gather.ts';
import { until } from './support/until.ts';

/** A gatherer whose batches end when they are told to. */
function held(options: { max?: number; width?: number; lateMs?: number } = {}) {
  const batches: { items: number[]; end(): void; fail(error: Error): void }[] = [];
  const add = gather(
    (items: number[]) =>
      new Promise<string[]>((resolve, reject) => {
        batches.push({ items, end: () => resolve(items.map((item) => `did ${item}`)), fail: reject });
      }),
    { isItems: (error) => (error as Error).message === 'poisoned', ...options },
  );
  return { add, batches, seen: () => batches.map(({ items }) => items) };
}

describe('a gatherer', () => {
  test('runs a lone item at once, and answers each caller for its own item', async () => {
    const { add, batches, seen } = held({ width: 1 });
    const answers = [add(1), add(2), add(3)];
    expect(seen()).toEqual([[1]]);
    batches[0]?.end();
    await until('the second batch', () => batches.length === 2);
    expect(seen()).toEqual([[1], [2, 3]]);
    batches[1]?.end();
    expect(await Promise.all(answers)).toEqual(['did 1', 'did 2', 'did 3']);
  });

  test('takes no more than the most at a time', async () => {
    const { add, batches, seen } = held({ width: 1, max: 2 });
    const answers = [1, 2, 3, 4].map(add);
    for (let n = 0; n < 3; n++) {
      await until('a batch', () => batches.length === n + 1);
      batches[n]?.end();
    }
    await Promise.all(answers);
    expect(seen()).toEqual([[1], [2, 3], [4]]);
  });

  test('begins as many batches at once as it may', () => {
    const { add, seen } = held({ width: 2 });
    for (const item of [1, 2, 3, 4]) void add(item);
    expect(seen()).toEqual([[1], [2]]);
  });

  test('gathers behind a batch, and passes it when it takes long', async () => {
    const { add, batches, seen } = held({ width: 3, lateMs: 20 });
    const answers = [1, 2, 3].map(add);
    expect(seen()).toEqual([[1]]);
    await until('a second batch', () => batches.length === 2);
    expect(seen()).toEqual([[1], [2, 3]]);
    answers.push(add(4));
    await until('a third batch', () => batches.length === 3);
    answers.push(add(5));
    for (const batch of batches.slice(1)) batch.end();
    await until('a fourth batch', () => batches.length === 4);
    expect(seen()).toEqual([[1], [2, 3], [4], [5]]);
    for (const batch of batches) batch.end();
    expect(await Promise.all(answers)).toEqual(['did 1', 'did 2', 'did 3', 'did 4', 'did 5']);
  });

  test('runs the items of a poisoned batch one by one', async () => {
    const { add, batches, seen } = held({ width: 1 });
    const answers = Promise.allSettled([1, 2, 3].map(add));
    batches[0]?.end();
    await until('the batch of two', () => batches.length === 2);
    batches[1]?.fail(new Error('poisoned'));
    await until('the first of them', () => batches.length === 3);
    batches[2]?.fail(new Error('poisoned'));
    await until('the second of them', () => batches.length === 4);
    batches[3]?.end();
    expect(await answers).toMatchObject([{ status: 'fulfilled' }, { status: 'rejected' }, { value: 'did 3' }]);
    expect(seen()).toEqual([[1], [2, 3], [2], [3]]);
  });

  test('tells everybody of a failure that is nobody’s own', async () => {
    const { add, batches } = held({ width: 1 });
    const answers = Promise.allSettled([1, 2, 3].map(add));
    batches[0]?.end();
    await until('the batch of two', () => batches.length === 2);
    batches[1]?.fail(new Error('away'));
    expect((await answers).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected']);
    expect(batches.length).toBe(2);
  });
});
