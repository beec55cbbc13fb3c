import { until } from '../test/support/until.ts';
import type { Stage } from './stage.ts';

/** Callers that post at once. */
const width = 64;

/** Compilers and pools settle on the first few hundred, and PostgreSQL learns what its tables hold, as it does by itself within a minute. */
export async function warmUp(stage: Stage, destinations: string[]): Promise<void> {
  await burst(stage, destinations, 100);
  await stage.db.query('vacuum analyze');
}

/** Posts so many broadcasts as fast as they are accepted, and answers how many deliveries a second arrived, end to end. */
export async function burst(stage: Stage, destinations: string[], broadcasts: number): Promise<number> {
  const { receivers } = stage;
  const total = broadcasts * destinations.length;
  const goal = receivers.count() + total;
  const began = performance.now();
  await each(broadcasts, (n) => stage.post(destinations, `burst ${began} ${n}`));
  await until('the burst to arrive', () => receivers.count() >= goal, { timeoutMs: 60_000, everyMs: 5 });
  return (total * 1_000) / (performance.now() - began);
}

export async function each(count: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, one));
}
