import { setTimeout as delay } from 'node:timers/promises';
import { newId } from '../src/ids.ts';
import { accept } from '../src/ledger/accept.ts';
import { until } from '../test/support/until.ts';
import { burst, warmUp } from './burst.ts';
import { cpuOf, percentile } from './measures.ts';
import { type Check, publish } from './report.ts';
import { queues, type Stage, startStage } from './stage.ts';
import type { Table } from './table.ts';

/** The figures to reach. They are ratios within one run, because other load on the machine changes absolute figures. */
const targets = { p99: 1.3, throughput: 0.9, idlePercent: 5 };

const healthy = Array.from({ length: 9 }, (_, n) => `healthy-${n}`);
const sick = 'sick';
/** Broadcasts a second, each to one destination: a fifth of them to the sick one. */
const rate = 50;
const phaseMs = 4_000;
const pairs = { stalling: 9, waiting: 4 };
const waiting = 10_000;
const broadcasts = 80;

interface Found {
  table: Table;
  checks: Check[];
  results: object;
}

/** On the queues that are named: `isolation redis`; otherwise on all that can be had here. */
export async function run([only]: string[]): Promise<boolean> {
  const found: Found[] = [];
  for (const queue of queues().filter((each) => only === undefined || each === only)) {
    const stage = await startStage(queue);
    try {
      await furnish(stage);
      found.push(await stalling(stage), await backlog(stage));
    } finally {
      await stage.stop();
    }
  }
  if (found.length === 0) throw new Error(`There is no queue ${only} here: choose from ${queues().join(', ')}.`);
  return publish({
    bench: 'isolation',
    tables: found.map(({ table }) => table),
    checks: found.flatMap(({ checks }) => checks),
    results: found.map(({ results }) => results),
  });
}

async function furnish(stage: Stage): Promise<void> {
  for (const name of [...healthy, sick]) await stage.put(name, await stage.receivers.add(name), policy);
  await warmUp(stage, [...healthy, sick]);
}

/** Fails often in a short while, and never for good. */
const policy = { maxAttempts: 100, backoff: { baseMs: 200, maxMs: 1_000 }, timeoutMs: 2_000 };

/**
 * A: all are well. B: one takes requests and never answers. The others' time from our POST to their receipt, in turns. Judged by the
 * middle phase of each: what else the machine does hits some of them, and what B does to the others it does in every one.
 */
async function stalling(stage: Stage): Promise<Found> {
  const phases: Record<'well' | 'stalling', number[][]> = { well: [], stalling: [] };
  for (let pair = 0; pair < pairs.stalling; pair++) {
    for (const arm of pair % 2 === 0 ? (['well', 'stalling'] as const) : (['stalling', 'well'] as const)) {
      stage.receivers.stall(sick, arm === 'stalling');
      phases[arm].push(await load(stage));
      if (arm === 'stalling') await heal(stage);
    }
  }
  const p99s = (arm: keyof typeof phases) => phases[arm].map((phase) => percentile(phase, 0.99));
  const row = (arm: keyof typeof phases) => [
    arm,
    String(phases[arm].flat().length),
    ...[0.5, 0.95, 0.99, 1].map((share) => percentile(phases[arm].flat(), share).toFixed(1)),
    p99s(arm)
      .map((ms) => ms.toFixed(0))
      .join(' '),
  ];
  const ratio = percentile(p99s('stalling'), 0.5) / percentile(p99s('well'), 0.5);
  return {
    table: {
      title: `${stage.queue}: POST to receipt at nine healthy destinations, ms; ${rate}/s, a fifth of it to the tenth`,
      rows: [['the tenth is', 'n', 'p50', 'p95', 'p99', 'max', 'p99 by phase'], row('well'), row('stalling')],
    },
    checks: [{ what: `${stage.queue}: p99, stalling : well`, value: ratio, bound: targets.p99, side: 'most' }],
    results: phases,
  };
}

/** Posts at an even rate, and answers how long each took to reach a healthy destination, in milliseconds. */
async function load(stage: Stage): Promise<number[]> {
  const began = performance.now();
  const sent = new Map<string, { at: number; to: string }>();
  const posts: Promise<unknown>[] = [];
  for (let n = 0; performance.now() - began < phaseMs; n++) {
    await delay(Math.max(0, began + (n * 1000) / rate - performance.now()));
    const to = n % 5 === 0 ? sick : (healthy[n % healthy.length] ?? sick);
    const title = `load ${began} ${n}`;
    if (to !== sick) sent.set(title, { at: performance.now(), to });
    posts.push(stage.post([to], title));
  }
  await Promise.all(posts);
  const took = (title: string, { at, to }: { at: number; to: string }) => {
    const received = stage.receivers.seen.get(to)?.get(title);
    return received === undefined ? null : received - at;
  };
  // One that another's illness delays for long is not left out: it counts with all the time that it took.
  const all = () => [...sent].map(([title, each]) => took(title, each)).filter((ms) => ms !== null);
  await until('every healthy delivery', () => all().length === sent.size, { timeoutMs: 30_000, everyMs: 100 });
  return all();
}

/** Well again, with nothing left over for the next phase. */
async function heal(stage: Stage): Promise<void> {
  stage.receivers.stall(sick, false);
  await resume(stage);
  await drained(stage);
}

/** Replacing a destination closes its breaker. */
async function resume(stage: Stage): Promise<void> {
  const { body } = await stage.call('GET', `/destinations/${sick}`);
  await stage.put(sick, body.settings.url, policy);
}

async function drained(stage: Stage): Promise<void> {
  await until('everything to be delivered', async () => (await openAt(stage)) === 0, {
    timeoutMs: 60_000,
    everyMs: 100,
  });
}

async function openAt({ db }: Stage, state = ['pending', 'sending', 'retrying', 'verifying', 'held']): Promise<number> {
  const { rows } = await db.query('select count(*)::int as n from deliveries where state = any($1)', [state]);
  return rows[0].n;
}

/** A: nothing waits. B: ten thousand wait for a destination that is down. The others' throughput in turns, and what waiting costs. */
async function backlog(stage: Stage): Promise<Found> {
  const rates: Record<'none' | 'waiting', number[]> = { none: [], waiting: [] };
  let idle: Idle | undefined;
  await stage.put(sick, 'http://127.0.0.1:9/', policy);
  for (let pair = 0; pair < pairs.waiting; pair++) {
    for (const arm of pair % 2 === 0 ? (['none', 'waiting'] as const) : (['waiting', 'none'] as const)) {
      if (arm === 'waiting') await fill(stage);
      if (arm === 'waiting') idle ??= await idlePercent(stage);
      rates[arm].push(...(await bursts(stage)));
      if (arm === 'waiting') await forget(stage);
    }
  }
  const shown = (arm: keyof typeof rates) => rates[arm].map((each) => each.toFixed(0)).join(', ');
  const ratio = percentile(rates.waiting, 0.5) / percentile(rates.none, 0.5);
  const spent = idle?.tocsin ?? Number.NaN;
  return {
    table: {
      title: `${stage.queue}: with ${waiting} deliveries waiting for a dead destination`,
      rows: [
        ['', 'deliveries/s to the nine others', 'idle CPU: Tocsin', 'PostgreSQL', 'Redis'],
        ['none wait', shown('none'), '', '', ''],
        ['they wait', shown('waiting'), ...(idle?.shown ?? [])],
      ],
    },
    checks: [
      { what: `${stage.queue}: throughput, waiting : none`, value: ratio, bound: targets.throughput, side: 'least' },
      { what: `${stage.queue}: idle CPU of Tocsin, %`, value: spent, bound: targets.idlePercent, side: 'most' },
    ],
    results: { rates, idle },
  };
}

async function fill(stage: Stage): Promise<void> {
  await record(stage);
  await until('them to wait in the ledger alone', async () => (await openAt(stage, ['held'])) >= waiting - 1, {
    timeoutMs: 60_000,
    everyMs: 200,
  });
}

async function forget({ db }: Stage): Promise<void> {
  const ids = 'select broadcast_id from deliveries where destination = $1';
  await db.query(
    `with its as (delete from deliveries where broadcast_id in (${ids}) returning broadcast_id)
    delete from broadcasts where id in (select broadcast_id from its)`,
    [sick],
  );
}

/** Ten thousand broadcasts to the sick one, through the ledger's own verb: by HTTP it would be the longest part of the bench. */
async function record({ db }: Stage): Promise<void> {
  const message = { title: 'waiting', severity: 'error' as const, fields: [], links: [] };
  const nothing = { topic: null, traceparent: null, callback: null, callbackSecret: null, idempotencyKey: null };
  for (let from = 0; from < waiting; from += 500) {
    const intents = Array.from({ length: 500 }, () => ({
      ...nothing,
      id: newId('bc'),
      message,
      correlationId: 'bench',
      metadata: {},
      crossLink: false,
      madeBy: 'bench',
      requestHash: null,
      expiresAt: null,
      deliveries: [{ id: newId('dl'), destination: sick, kind: 'webhook', required: true, maxAttempts: 100 }],
    }));
    await accept(db, intents);
  }
}

async function bursts(stage: Stage): Promise<number[]> {
  // What came and went before is tidied up now, and not by a vacuum in the middle.
  await stage.db.query('vacuum analyze');
  const rates: number[] = [];
  for (let n = 0; n < 3; n++) rates.push(await burst(stage, healthy, broadcasts));
  return rates;
}

interface Idle {
  tocsin: number;
  shown: string[];
}

async function idlePercent(stage: Stage): Promise<Idle> {
  const span = 6_000;
  // What filling left to do, PostgreSQL's own tidying above all, is not what waiting costs.
  await delay(span / 2);
  const before = await cpuOf(stage);
  await delay(span);
  const after = await cpuOf(stage);
  const percent = (part: 'api' | 'workers' | 'postgres' | 'redis') =>
    before && after ? ((after[part] - before[part]) * 100_000) / span : 0;
  const tocsin = percent('api') + percent('workers');
  return { tocsin, shown: [tocsin, percent('postgres'), percent('redis')].map((value) => `${value.toFixed(1)} %`) };
}
