import { setTimeout as delay } from 'node:timers/promises';
import { redisAvailable } from '../test/support/redis.ts';
import { type Arm, arms, startArm } from './arms.ts';
import { measured } from './cost.ts';
import { burst, startSink, steady } from './driver.ts';
import { publish } from './report.ts';
import type { Table } from './table.ts';

const destinations = 5;
const broadcasts = 2_000;
const most = 12;

/** What statements are for, by words of theirs. The first that fits. */
const purposes: [RegExp, string][] = [
  [/insert into broadcasts/, 'accept: insert'],
  [/settle_plain/, 'settle: one call for all that ended well'],
  [/claim_due/, 'claim: one call for all destinations with free places'],
  [/with recursive places/, 'search for what is due'],
  [/select destination, count\(\*\)/, 'measure the backlog'],
  [/from broadcasts.*for (no key )?update/s, 'settle, the careful way: locks'],
  [/update deliveries/, 'settle, the careful way: deliveries'],
  [/from api_keys/, 'look up the API key'],
  [/from destinations/, 'read destinations'],
];

interface Cost {
  query: string;
  calls: number;
  rows: number;
  ms: number;
  wal: number;
  blocks: number;
}

/** What PostgreSQL spends on each statement, in a burst and at 50 broadcasts a second. Judges nothing. */
export async function run(): Promise<boolean> {
  const arm = (redisAvailable() ? arms.redis1 : arms.postgres2) as Arm;
  const sink = await startSink(destinations);
  try {
    const running = await startArm(arm, sink.ports, { statements: true });
    const { db } = running;
    if (!db) throw new Error('This arm has no PostgreSQL.');
    try {
      await burst(running, sink, 600, 'warm-up');
      await db.query('vacuum analyze');
      const tables: Table[] = [];
      const counted = async (title: string, deliveries: number, load: () => Promise<unknown>) => {
        await delay(1_000);
        await db.query('select pg_stat_statements_reset()');
        await load();
        // The last settle comes after the last receipt.
        await delay(1_000);
        const { rows } = await db.query<Cost>(`
          select query, calls::float8, rows::float8, total_exec_time as ms, wal_bytes::float8 as wal,
                 (shared_blks_hit + shared_blks_read)::float8 as blocks
            from pg_stat_statements where query !~ 'pg_stat_statements' order by total_exec_time desc`);
        tables.push(shown(title, rows, deliveries));
        return rows;
      };
      const inBurst = await counted(
        `PostgreSQL by statement, per delivery: a burst of ${broadcasts} broadcasts to ${destinations} webhooks. Waits count too`,
        broadcasts * destinations,
        () => measured(running, sink, broadcasts, 'burst'),
      );
      const atFifty = await counted('The same at 50 broadcasts a second', 50 * 6 * destinations, () =>
        steady(running, sink, 50, 6_000),
      );
      return await publish({ bench: 'statements', tables, checks: [], results: { inBurst, atFifty } });
    } finally {
      await running.stop();
    }
  } finally {
    sink.stop();
  }
}

function shown(title: string, costs: readonly Cost[], deliveries: number): Table {
  return {
    title,
    rows: [
      ['', 'µs', 'calls', 'rows/call', 'pages', 'WAL B'],
      ...costs
        .filter(({ ms }) => (ms * 1_000) / deliveries >= 0.05)
        .slice(0, most)
        .map(({ query, calls, rows, ms, wal, blocks }) => [
          purposeOf(query),
          ((ms * 1_000) / deliveries).toFixed(1),
          (calls / deliveries).toFixed(3),
          (rows / calls).toFixed(1),
          (blocks / deliveries).toFixed(1),
          (wal / deliveries).toFixed(0),
        ]),
    ],
  };
}

function purposeOf(query: string): string {
  return purposes.find(([words]) => words.test(query))?.[1] ?? query.replaceAll(/[\s|]+/g, ' ').slice(0, 60);
}
