import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Sandbox } from '../../sandbox/index.ts';
import type { Absence } from './freezes.ts';
import type { Parts } from './parts.ts';

/** Past so many milliseconds it is taken for not having come back at all. */
const patienceMs = 90_000;

/**
 * Seconds from now, when a fault is over, until a delivery was attempted that was begun after it. Null: it did not happen in time.
 * The load goes on meanwhile, so there is always something to attempt.
 */
export async function untilMoving({ postgres }: Parts): Promise<number | null> {
  const began = performance.now();
  const elapsed = () => (performance.now() - began) / 1_000;
  const client = new pg.Client({ connectionString: postgres.directUrl(), application_name: 'chaos' });
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query<{ now: Date }>('select clock_timestamp() as now');
    while (elapsed() * 1_000 < patienceMs) {
      const { rowCount } = await client.query(
        'select from attempts where started_at > $1 and outcome is not null limit 1',
        [rows[0]?.now],
      );
      if (rowCount) return elapsed();
      await delay(100);
    }
    return null;
  } finally {
    await client.end().catch(() => {});
  }
}

/** The longest time in seconds in which no service heard anything, while something was absent. */
export function longestStandstill(sandbox: Sandbox, { from, to }: Absence): number {
  const heard = sandbox
    .requests()
    .map(({ at }) => at.getTime())
    .filter((at) => at > from.getTime() && at < to.getTime());
  const times = [from.getTime(), ...heard, to.getTime()];
  return Math.max(...times.slice(1).map((at, n) => at - (times[n] ?? at))) / 1_000;
}
