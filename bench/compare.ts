import { writeFile } from 'node:fs/promises';
import { type Arm, arms, installPeer, type RunningArm, startArm } from './arms.ts';
import { type Burst, burst, type Sink, type Steady, startSink, steady } from './driver.ts';
import { familySecondsOf } from './measures.ts';
import { drawPicture } from './picture.ts';
import { table } from './table.ts';

const destinations = 5;
const broadcasts = 2_000;
/** Compilers settle on the first few thousand deliveries. */
const warmUps = 600;
const burstsPerTurn = 3;
const rates = [5, 50, 200];
const steadyMs = 6_000;
/** The whole run ends by itself: an arm whose turn would begin later than this is left out, and the table says so. */
const longestMs = 9 * 60_000;

const parts = ['api', 'worker', 'redis', 'postgres'] as const;

export interface Measured extends Burst {
  /** Processor time in microseconds per delivery. */
  cpu: Record<(typeof parts)[number], number>;
  /** Bytes of write-ahead log per delivery; null without PostgreSQL. */
  wal: number | null;
}

export interface ArmResult {
  key: string;
  name: string;
  bursts: Measured[];
  steady: Steady[];
}

/** Each arm twice, in turns A B C … C B A, so that what else the machine does hits them alike. Figures are medians of all turns. */
export async function run(): Promise<boolean> {
  installPeer();
  const chosen = process.argv[3]?.split(',') ?? Object.keys(arms);
  const results = new Map(
    chosen.map((key) => [key, { key, name: armOf(key).name, bursts: [], steady: [] } as ArmResult]),
  );
  const began = performance.now();
  const sink = await startSink(destinations);
  try {
    for (const [turn, keys] of [chosen, [...chosen].reverse()].entries()) {
      for (const key of keys) {
        if (performance.now() - began > longestMs) {
          console.log(`left out for want of time: ${key}, turn ${turn + 1}`);
          continue;
        }
        await takeTurn(armOf(key), sink, results.get(key) as ArmResult, turn === 0);
      }
    }
  } finally {
    sink.stop();
  }
  const all = [...results.values()].filter(({ bursts }) => bursts.length > 0);
  show(all);
  const output = process.env.BENCH_OUTPUT;
  if (output) {
    await writeFile(`${output}.json`, `${JSON.stringify(all, null, 2)}\n`);
    await writeFile(`${output}.svg`, drawPicture(all));
  }
  return judge(new Map(all.map((result) => [result.key, result])));
}

function armOf(key: string): Arm {
  const arm = arms[key];
  if (!arm) throw new Error(`There is no arm ${key}: choose from ${Object.keys(arms).join(', ')}.`);
  return arm;
}

async function takeTurn(arm: Arm, sink: Sink, result: ArmResult, withSteady: boolean): Promise<void> {
  const running = await startArm(arm, sink.ports);
  try {
    await burst(running, sink, warmUps, 'warm-up');
    await running.db?.query('vacuum analyze');
    await running.db?.query('checkpoint').catch(() => {});
    for (let n = 0; n < burstsPerTurn; n++) result.bursts.push(await measured(running, sink, `burst ${n}`));
    if (withSteady) for (const rate of rates) result.steady.push(await steady(running, sink, rate, steadyMs));
  } finally {
    await running.stop();
  }
  const last = result.bursts.slice(-burstsPerTurn).map(({ deliveriesPerSecond }) => deliveriesPerSecond.toFixed(0));
  console.log(`${arm.name}: ${last.join(', ')} deliveries/s`);
}

async function measured(running: RunningArm, sink: Sink, tag: string): Promise<Measured> {
  const [cpu, wal] = [await cpuOf(running), await walOf(running)];
  const seen = await burst(running, sink, broadcasts, tag);
  const [cpuAfter, walAfter] = [await cpuOf(running), await walOf(running)];
  const micros = (part: (typeof parts)[number]) => ((cpuAfter[part] - cpu[part]) * 1e6) / seen.deliveries;
  return {
    ...seen,
    cpu: { api: micros('api'), worker: micros('worker'), redis: micros('redis'), postgres: micros('postgres') },
    wal: wal !== null && walAfter !== null ? (walAfter - wal) / seen.deliveries : null,
  };
}

async function cpuOf({ pids }: RunningArm): Promise<Record<(typeof parts)[number], number>> {
  const seconds = async (part: (typeof parts)[number]) => {
    const each = await Promise.all(pids[part].map((pid) => familySecondsOf(pid)));
    return each.reduce((sum, one) => sum + one, 0);
  };
  return {
    api: await seconds('api'),
    worker: await seconds('worker'),
    redis: await seconds('redis'),
    postgres: await seconds('postgres'),
  };
}

async function walOf({ db }: RunningArm): Promise<number | null> {
  const answer = await db?.query<{ bytes: string }>(`select pg_current_wal_lsn() - '0/0' as bytes`);
  return answer ? Number(answer.rows[0]?.bytes) : null;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

function show(results: readonly ArmResult[]): void {
  const loop = results.find(({ key }) => key === 'loop');
  const rate = (result: ArmResult | undefined) => median(result?.bursts.map((each) => each.deliveriesPerSecond) ?? []);
  table(
    `${broadcasts} broadcasts to ${destinations} webhooks each, ${burstsPerTurn} bursts a turn, two turns; medians`,
    [
      [
        '',
        'deliveries/s',
        '× loop',
        'accept/s',
        'CPU µs/delivery: API',
        'worker',
        'Redis',
        'PostgreSQL',
        'sum',
        'WAL B',
        'repeated',
      ],
      ...results.map((result) => {
        const { bursts } = result;
        const cpu = parts.map((part) => median(bursts.map((each) => each.cpu[part])));
        const wal = bursts.flatMap((each) => (each.wal === null ? [] : [each.wal]));
        return [
          result.name,
          rate(result).toFixed(0),
          loop ? (rate(result) / rate(loop)).toFixed(2) : '',
          median(bursts.map((each) => each.acceptedPerSecond)).toFixed(0),
          ...cpu.map((each) => each.toFixed(0)),
          cpu.reduce((sum, each) => sum + each, 0).toFixed(0),
          wal.length > 0 ? median(wal).toFixed(0) : '–',
          String(bursts.reduce((sum, each) => sum + each.repeated, 0)),
        ];
      }),
    ],
  );
  table('steady load, broadcasts/s: from 202 to receipt, ms', [
    ['', ...rates.flatMap((each) => [`${each}/s p50`, 'p99', 'held'])],
    ...results.map(({ name, steady: seen }) => [
      name,
      ...seen.flatMap(({ p50, p99, held }) => [p50.toFixed(1), p99.toFixed(0), held ? 'yes' : 'no']),
    ]),
  ]);
}

/** The figures to reach. Ratios within one run. */
function judge(results: ReadonlyMap<string, ArmResult>): boolean {
  const rate = (key: string) => median(results.get(key)?.bursts.map((each) => each.deliveriesPerSecond) ?? []);
  const accept = (key: string) => median(results.get(key)?.bursts.map((each) => each.acceptedPerSecond) ?? []);
  const at = (key: string, perSecond: number) => results.get(key)?.steady.find((each) => each.perSecond === perSecond);
  const checks: [string, number, number, 'least' | 'most'][] = [
    ['Redis, one worker : loop', rate('redis1') / rate('loop'), 0.8, 'least'],
    ['Redis, two workers : one', rate('redis2') / rate('redis1'), 1, 'least'],
    ['PostgreSQL alone, one process : loop', rate('postgres1') / rate('loop'), 0.6, 'least'],
    ['accept, Redis : loop', accept('redis1') / accept('loop'), 0.9, 'least'],
    ['200/s, p99 in ms', at('redis1', 200)?.p99 ?? Number.NaN, 100, 'most'],
    ['5/s, p50 in ms', at('redis1', 5)?.p50 ?? Number.NaN, 6, 'most'],
  ];
  let good = true;
  for (const [what, value, bound, side] of checks) {
    if (Number.isNaN(value)) continue;
    const met = side === 'least' ? value >= bound : value <= bound;
    good &&= met;
    console.log(`${met ? 'met   ' : 'MISSED'}  ${what}: ${value.toFixed(2)} (at ${side} ${bound})`);
  }
  return good;
}
