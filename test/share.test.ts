import { expect, test } from 'vitest';
import { share } from '../src/share.ts';

/** Runs that end when the test says so, on a clock that the test sets. */
function stage(options: { keepMs?: number; rest?: number } = {}) {
  const runs: PromiseWithResolvers<number>[] = [];
  const clock = { ms: 0 };
  const run = () => {
    runs.push(Promise.withResolvers());
    return (runs.at(-1) as PromiseWithResolvers<number>).promise;
  };
  return { runs, clock, ask: share(run, { ...options, now: () => clock.ms }) };
}

test('whoever asks while a run is under way shares it, and the next one begins another', async () => {
  const { runs, ask } = stage();
  const asked = [ask(), ask(), ask()];
  expect(runs).toHaveLength(1);
  runs[0]?.resolve(1);
  expect(await Promise.all(asked)).toEqual([1, 1, 1]);
  void ask();
  expect(runs).toHaveLength(2);
});

test('an answer is kept for as long as was said, or for so many times as long as it took', async () => {
  const { runs, clock, ask } = stage({ keepMs: 2_000, rest: 20 });
  const quick = ask();
  runs[0]?.resolve(1);
  await quick;
  clock.ms = 1_999;
  expect(await ask()).toBe(1);
  clock.ms = 2_000;
  const slow = ask();
  expect(runs).toHaveLength(2);
  clock.ms = 3_000;
  runs[1]?.resolve(2);
  await slow;
  clock.ms = 22_999;
  expect(await ask()).toBe(2);
  clock.ms = 23_000;
  void ask();
  expect(runs).toHaveLength(3);
});

test('a failure is told to all who wait, and is not kept', async () => {
  const { runs, ask } = stage({ keepMs: 2_000 });
  const asked = [ask(), ask()];
  runs[0]?.reject(new Error('away'));
  expect((await Promise.allSettled(asked)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  const again = ask();
  runs[1]?.resolve(2);
  expect(await again).toBe(2);
});
