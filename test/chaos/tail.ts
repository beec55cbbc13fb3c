import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Parts } from './parts.ts';

/** How often it is said what is still open, in milliseconds. */
const tellMs = 15_000;

/** A send that arrived is found within so many milliseconds; what is still looked for then never arrived, and waits out a horizon. */
const foundMs = 20_000;

/**
 * Waits, the faults being over, until nothing is open any more, callbacks included; at the longest until `giveUpAt`
 * (`performance.now()`). Verifying takes its time: Jira's search may not be believed before 300 s.
 *
 * @param patient false: what is only being looked for, and what waits behind it, is left at that
 */
export async function untilConverged(
  { postgres }: Parts,
  { giveUpAt, patient, say }: { giveUpAt: number; patient: boolean; say: (line: string) => void },
): Promise<void> {
  const client = new pg.Client({ connectionString: postgres.directUrl() });
  await client.connect();
  const began = performance.now();
  let told = 0;
  try {
    for (;;) {
      const { rows } = await client.query<{ what: string; n: number }>(
        `select kind || ' ' || state as what, count(*)::int as n from deliveries where ended_at is null group by 1 order by 1`,
      );
      const open = rows.reduce((sum, { n }) => sum + n, 0);
      if (open === 0) return;
      const looking = rows.every(({ what }) => /(verifying|held)$/.test(what));
      if (!patient && looking && performance.now() - began > foundMs) return say(`${open} are still being looked for`);
      if (performance.now() > giveUpAt) return say(`the time is up with ${open} deliveries open`);
      if (performance.now() - told > tellMs) {
        told = performance.now();
        say(`${open} open: ${rows.map(({ what, n }) => `${n} ${what}`).join(', ')}`);
      }
      await delay(1_000);
    }
  } finally {
    await client.end();
  }
}
