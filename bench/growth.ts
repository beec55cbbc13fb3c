import { statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { redisAvailable } from '../test/support/redis.ts';
import { until } from '../test/support/until.ts';
import { type Arm, arms, type RunningArm, startArm } from './arms.ts';
import { type Measured, measured, median, parts } from './cost.ts';
import { burst, type Sink, startSink } from './driver.ts';
import { fill } from './fill.ts';
import { publish } from './report.ts';

const usage = `npm run bench -- growth [options]
  --millions N    finished deliveries in the full ledger; default 10
  --turns N       bursts on each ledger; default 16
  --queue redis|postgres   default redis, where there is one`;

const destinations = 5;
const broadcasts = 1_000;
/** One broadcast in so many ended dead, and was critical. */
const deadEvery = 1_000;
const bytesPerDelivery = 2_500;
/** The figure to reach: throughput on the full ledger against the empty one. */
const target = 0.95;

/** The lists and figures that people and monitors ask for. Nothing has the severity `warning`, so that everything would be looked through. */
const questions = [
  '/broadcasts?limit=50',
  '/broadcasts?severity=critical&limit=50',
  '/broadcasts?severity=warning&limit=50',
  '/broadcasts?state=failed&limit=50',
  '/broadcasts?destination=place-0&limit=50',
  '/broadcasts?destination=unused&limit=50',
  '/broadcasts?since=2099-01-01T00:00:00Z',
  '/broadcasts?until=2020-01-01T00:00:00Z',
  '/deliveries?state=dead&limit=50',
  '/deliveries?state=confirmed&limit=50',
  '/deliveries?destination=place-0&limit=50',
  '/deliveries?destination=unused&state=dead',
  '/deliveries?since=2099-01-01T00:00:00Z',
  '/deliveries?until=2020-01-01T00:00:00Z',
  '/destinations',
  '/metrics',
];

/** Throughput with a full ledger against an empty one, in turns, and how long lists take on both. */
export async function run(args: string[]): Promise<boolean> {
  const { values } = parseArgs({
    args,
    options: {
      millions: { type: 'string', default: '10' },
      turns: { type: 'string', default: '16' },
      queue: { type: 'string', default: redisAvailable() ? 'redis' : 'postgres' },
    },
  });
  const [millions, turns] = [Number(values.millions), Number(values.turns)];
  const arm = { redis: arms.redis1, postgres: arms.postgres1 }[values.queue];
  if (!(millions > 0) || !(turns >= 1) || !arm) throw new Error(usage);
  await mustFit(millions);
  const sink = await startSink(destinations);
  const running: RunningArm[] = [];
  try {
    const empty = await started(arm, sink, running);
    const full = await started(arm, sink, running);
    const size = await grow(full, sink, millions);
    return await report(arm, millions, size, await compared(empty, full, sink, turns), await asked(empty, full));
  } finally {
    for (const each of running) await each.stop();
    sink.stop();
  }
}

async function mustFit(millions: number): Promise<void> {
  const { bavail, bsize } = await statfs(tmpdir());
  const [free, needed] = [bavail * bsize, millions * 1e6 * bytesPerDelivery + 2e9];
  if (free >= needed) return;
  const gigabytes = (bytes: number) => `${Math.ceil(bytes / 1e9)} GB`;
  throw new Error(
    `${millions} million deliveries may take ${gigabytes(needed)}, and ${tmpdir()} has ${gigabytes(free)} free. Choose fewer with --millions, or another place with TMPDIR.`,
  );
}

async function started(arm: Arm, sink: Sink, all: RunningArm[]): Promise<RunningArm> {
  const one = await startArm(arm, sink.ports);
  all.push(one);
  await one.put('unused', 'http://127.0.0.1:9/', {});
  await burst(one, sink, 200, 'first');
  return one;
}

/** Fills a ledger, and answers how many bytes it then has. */
async function grow(full: RunningArm, sink: Sink, millions: number): Promise<number> {
  const db = full.db;
  if (!db) throw new Error('This arm has no ledger.');
  // Nobody listens there, so that its one try fails.
  await full.put('dead', 'http://127.0.0.1:9/', { maxAttempts: 1 });
  const message = { title: 'Dead', body: 'Error rate **42 %** since 14:02.', severity: 'critical' };
  await full.call('POST', '/broadcasts', { message, destinations: ['dead'] });
  const ended = async (state: string) => {
    const { rows } = await db.query('select id from broadcasts where state = $1 limit 1', [state]);
    return rows[0]?.id as string | undefined;
  };
  const delivered = await until('a delivered broadcast', () => ended('delivered'));
  const failed = await until('a broadcast that ended dead', () => ended('failed'));
  const copies = Math.round((millions * 1e6) / destinations);
  const began = performance.now();
  const seconds = () => ((performance.now() - began) / 1_000).toFixed(0);
  let next = 0.1;
  await fill(
    db,
    [
      { id: delivered, copies },
      { id: failed, copies: Math.ceil(copies / deadEvery) },
    ],
    (share) => {
      if (share < next) return;
      next = share + 0.1;
      console.log(`filled to ${(share * 100).toFixed(0)} % after ${seconds()} s`);
    },
  );
  await db.query('vacuum analyze');
  console.log(`filled and vacuumed after ${seconds()} s`);
  await mustLookReal(full);
  await burst(full, sink, 10, 'filled');
  const { rows } = await db.query('select pg_database_size(current_database())::float8 as bytes');
  return rows[0].bytes;
}

/** A copy is shown like an original, or the copies are not what a ledger would hold. */
async function mustLookReal({ call }: RunningArm): Promise<void> {
  const yesterday = new Date(Date.now() - 86_400_000).toISOString();
  const { status, text } = await call('GET', `/broadcasts?limit=1&state=delivered&until=${yesterday}`);
  const [item] = status === 200 ? JSON.parse(text).items : [];
  const states = item?.deliveries.map(
    ({ state, receipt }: { state: string; receipt: object | null }) => receipt && state,
  );
  if (states?.length !== destinations || states.some((state: string) => state !== 'confirmed')) {
    throw new Error(`A copied broadcast is not shown as a delivered one: ${status} ${text.slice(0, 500)}`);
  }
}

interface Compared {
  empty: Measured[];
  full: Measured[];
}

/** Bursts on each in turns A B B A, after some to settle. */
async function compared(empty: RunningArm, full: RunningArm, sink: Sink, turns: number): Promise<Compared> {
  const found: Compared = { empty: [], full: [] };
  for (const each of [empty, full, full, empty]) await burst(each, sink, broadcasts, 'warm-up');
  for (const each of [empty, full]) await each.db?.query('vacuum analyze');
  for (let turn = 0; turn < turns; turn++) {
    for (const which of turn % 2 === 0 ? (['empty', 'full'] as const) : (['full', 'empty'] as const)) {
      found[which].push(await measured(which === 'empty' ? empty : full, sink, broadcasts, `${which} ${turn}`));
    }
  }
  return found;
}

interface Asked {
  path: string;
  /** Milliseconds; medians. */
  empty: number;
  full: number;
}

async function asked(empty: RunningArm, full: RunningArm): Promise<Asked[]> {
  const found: Asked[] = [];
  for (const path of questions) {
    found.push({ path, empty: await timeOf(empty, path), full: await timeOf(full, path) });
  }
  return found;
}

async function timeOf({ call }: RunningArm, path: string): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < 5; n++) {
    // Its text is kept for two seconds.
    if (path === '/metrics') await delay(2_100);
    const began = performance.now();
    const { status, text } = await call('GET', path);
    times.push(performance.now() - began);
    if (status !== 200) throw new Error(`GET ${path} was answered ${status}: ${text.slice(0, 500)}`);
  }
  return median(times);
}

async function report(arm: Arm, millions: number, size: number, bursts: Compared, lists: Asked[]): Promise<boolean> {
  const rate = (of: readonly Measured[]) => median(of.map(({ deliveriesPerSecond }) => deliveriesPerSecond));
  // Of neighbours, which the machine's other work hits alike.
  const ratio = median(
    bursts.full.map(({ deliveriesPerSecond }, n) => deliveriesPerSecond / (bursts.empty[n]?.deliveriesPerSecond ?? 0)),
  );
  const row = (name: string, of: readonly Measured[]) => [
    name,
    rate(of).toFixed(0),
    ...parts.map((part) => median(of.map(({ cpu }) => cpu[part])).toFixed(0)),
    median(of.map(({ wal }) => wal ?? 0)).toFixed(0),
  ];
  return publish({
    bench: 'growth',
    results: { millions, size, bursts, lists },
    tables: [
      {
        title: `${arm.name}; ${bursts.full.length} bursts of ${broadcasts} broadcasts to ${destinations} webhooks on each, in turns; medians`,
        rows: [
          ['', 'deliveries/s', 'CPU µs/delivery: API', 'worker', 'Redis', 'PostgreSQL', 'WAL B'],
          row('empty ledger', bursts.empty),
          row(`${millions} million finished deliveries, ${(size / 1e9).toFixed(1)} GB`, bursts.full),
        ],
      },
      {
        title: 'Time to answer, ms; medians of 5',
        rows: [
          ['', 'empty', `${millions} million`],
          ...lists.map(({ path, empty, full }) => [`\`GET ${path}\``, empty.toFixed(1), full.toFixed(1)]),
        ],
      },
    ],
    checks: [{ what: 'throughput, full : empty, median of pairs', value: ratio, bound: target, side: 'least' }],
  });
}
