import { parseArgs } from 'node:util';
import { type Arm, arms, installPeer, startArm } from './arms.ts';
import { type Measured, measured, median, parts } from './cost.ts';
import { burst, type Sink, type Steady, startSink, steady } from './driver.ts';
import { drawPicture } from './picture.ts';
import { type Check, publish } from './report.ts';
import type { Table } from './table.ts';

const destinations = 5;
const broadcasts = 2_000;
/** Compilers settle on the first few thousand deliveries. */
const warmUps = 600;
const burstsPerTurn = 3;
const rates = [5, 50, 200];
const steadyMs = 6_000;
/** The whole run ends by itself: an arm whose turn would begin later than this is left out, and the table says so. */
const longestMs = 9 * 60_000;
/** Later than this only bursts are repeated. */
const steadyUntilMs = 5 * 60_000;

export interface ArmResult {
  key: string;
  name: string;
  bursts: Measured[];
  steady: Steady[];
}

/**
 * Each arm twice, or `--turns` times, in turns A B C … C B A, so that what else the machine does hits them alike. Figures are medians
 * of all turns.
 */
export async function run(args: string[]): Promise<boolean> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { turns: { type: 'string', default: '2' } },
  });
  const turns = Number(values.turns);
  if (!Number.isInteger(turns) || turns < 1) throw new Error('--turns must be a whole number from 1 on');
  const chosen = positionals[0]?.split(',') ?? Object.keys(arms);
  const results = new Map(
    chosen.map((key) => [key, { key, name: armOf(key).name, bursts: [], steady: [] } as ArmResult]),
  );
  if (chosen.includes('peer')) installPeer();
  const began = performance.now();
  const sink = await startSink(destinations);
  try {
    for (let turn = 0; turn < turns; turn++) {
      for (const key of turn % 2 === 0 ? chosen : chosen.toReversed()) {
        const spent = performance.now() - began;
        if (spent > longestMs) {
          console.log(`left out for want of time: ${key}, turn ${turn + 1}`);
          continue;
        }
        await takeTurn(armOf(key), sink, results.get(key) as ArmResult, turn === 0 || spent < steadyUntilMs);
      }
    }
  } finally {
    sink.stop();
  }
  const all = [...results.values()].filter(({ bursts }) => bursts.length > 0);
  const tables = [costs(all, turns), latencies(all)];
  return publish({ bench: 'compare', tables, checks: checksOf(all), results: all, picture: drawPicture(all) });
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
    for (let n = 0; n < burstsPerTurn; n++) result.bursts.push(await measured(running, sink, broadcasts, `burst ${n}`));
    if (withSteady) for (const rate of rates) result.steady.push(await steady(running, sink, rate, steadyMs));
  } finally {
    await running.stop();
  }
  const last = result.bursts.slice(-burstsPerTurn).map(({ deliveriesPerSecond }) => deliveriesPerSecond.toFixed(0));
  console.log(`${arm.name}: ${last.join(', ')} deliveries/s`);
}

function rateOf(result: ArmResult | undefined): number {
  return median(result?.bursts.map((each) => each.deliveriesPerSecond) ?? []);
}

function costs(results: readonly ArmResult[], turns: number): Table {
  const loop = results.find(({ key }) => key === 'loop');
  const head = ['', 'deliveries/s', '× loop', 'accept/s', 'CPU µs/delivery: API', 'worker', 'Redis', 'PostgreSQL'];
  return {
    title: `${broadcasts} broadcasts to ${destinations} webhooks each, ${burstsPerTurn} bursts a turn, ${turns} turns; medians`,
    rows: [
      [...head, 'sum', 'WAL B', 'repeated'],
      ...results.map((result) => {
        const { bursts } = result;
        const cpu = parts.map((part) => median(bursts.map((each) => each.cpu[part])));
        const wal = bursts.flatMap((each) => (each.wal === null ? [] : [each.wal]));
        return [
          result.name,
          rateOf(result).toFixed(0),
          loop ? (rateOf(result) / rateOf(loop)).toFixed(2) : '',
          median(bursts.map((each) => each.acceptedPerSecond)).toFixed(0),
          ...cpu.map((each) => each.toFixed(0)),
          cpu.reduce((sum, each) => sum + each, 0).toFixed(0),
          wal.length > 0 ? median(wal).toFixed(0) : '–',
          String(bursts.reduce((sum, each) => sum + each.repeated, 0)),
        ];
      }),
    ],
  };
}

function latencies(results: readonly ArmResult[]): Table {
  return {
    title: 'Steady load, broadcasts/s: from 202 to receipt, ms',
    rows: [
      ['', ...rates.flatMap((each) => [`${each}/s p50`, 'p99', 'held'])],
      ...results.map(({ name, steady: seen }) => [
        name,
        ...rates.flatMap((rate) => {
          const { p50, p99, held } = steadyAt(seen, rate);
          return [p50.toFixed(1), p99.toFixed(0), held ? 'yes' : 'no'];
        }),
      ]),
    ],
  };
}

/** The medians of all turns. It was held when it was held in one: another program's load is not the arm's fault. */
function steadyAt(seen: readonly Steady[], perSecond: number): { p50: number; p99: number; held: boolean } {
  const its = seen.filter((each) => each.perSecond === perSecond);
  return {
    p50: median(its.map(({ p50 }) => p50)),
    p99: median(its.map(({ p99 }) => p99)),
    held: its.some(({ held }) => held),
  };
}

/** The figures to reach. Ratios within one run. */
function checksOf(results: readonly ArmResult[]): Check[] {
  const one = (key: string) => results.find((each) => each.key === key);
  const rate = (key: string) => rateOf(one(key));
  const accept = (key: string) => median(one(key)?.bursts.map((each) => each.acceptedPerSecond) ?? []);
  const at = (key: string, perSecond: number) => steadyAt(one(key)?.steady ?? [], perSecond);
  return [
    { what: 'Redis, one worker : loop', value: rate('redis1') / rate('loop'), bound: 0.8, side: 'least' },
    { what: 'Redis, two workers : one', value: rate('redis2') / rate('redis1'), bound: 1, side: 'least' },
    {
      what: 'PostgreSQL alone, one process : loop',
      value: rate('postgres1') / rate('loop'),
      bound: 0.6,
      side: 'least',
    },
    { what: 'accept, Redis : loop', value: accept('redis1') / accept('loop'), bound: 0.9, side: 'least' },
    { what: '200/s, p99 in ms', value: at('redis1', 200).p99, bound: 100, side: 'most' },
    { what: '5/s, p50 in ms', value: at('redis1', 5).p50, bound: 6, side: 'most' },
  ];
}
