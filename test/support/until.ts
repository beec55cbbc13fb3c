import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';

/**
 * Waits for a condition instead of a time: asks again until the answer is truthy, and gives it back. An error counts as
 * "not yet". Rejects naming `what` it waited for and what it saw last. The time is that of a very busy machine: it costs only what fails.
 */
export async function until<T>(
  what: string,
  condition: () => T | Promise<T>,
  { timeoutMs = 60_000, everyMs = 20 }: { timeoutMs?: number; everyMs?: number } = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  let last = '';
  let cause: unknown;
  do {
    try {
      const value = await inTime(condition(), deadline);
      if (value) return value;
      last = `the last value was ${inspect(value)}`;
      cause = undefined;
    } catch (error) {
      // A condition that never answers must not hide what the answers before it were.
      if (error !== LATE || last === '') last = `the last error was ${error instanceof Error ? error.message : error}`;
      cause = error;
    }
    await delay(everyMs);
  } while (performance.now() < deadline);
  throw new Error(`Waited ${timeoutMs} ms for ${what}; ${last}`, { cause });
}

const LATE = new Error('no answer in time');

async function inTime<T>(answer: T | Promise<T>, deadline: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(LATE), Math.max(deadline - performance.now(), 0));
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
