// Load through the public API while every part is killed, frozen, emptied, cut off and slowed; then everybody is asked what became of it.
import { cp } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { redisAvailable } from '../support/redis.ts';
import { audit } from './audit.ts';
import { quick, steady, wreak } from './kills.ts';
import { sendLoad } from './load.ts';
import { type Parts, type Queue, startParts } from './parts.ts';
import { configure, placesFor } from './places.ts';
import { type Outcome, print, wrongWith } from './report.ts';
import { untilConverged } from './tail.ts';
import { breakWeather } from './weather.ts';

const usage = `npm run chaos -- [options]
  --queue postgres|redis|both   default both; without redis-server only postgres
  --broadcasts N                default 1000, each to 5 destinations
  --kills N                     how many faults; default 20, spread over all parts
  --only TEXT                   only faults whose name holds this: clock, "stands still", evict
  --seed N                      default drawn; printed
  --minutes N                   no queue's run takes longer; default 12
  --quick                       100 broadcasts, 7 faults; what is still looked for at the end is left at that
  --logs FOLDER                 keep the processes' logs there`;

const { values: options } = parseArgs({
  options: {
    queue: { type: 'string', default: 'both' },
    broadcasts: { type: 'string' },
    kills: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    minutes: { type: 'string', default: '12' },
    quick: { type: 'boolean', default: false },
    logs: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(usage);
  process.exit(0);
}
const plan = {
  broadcasts: count('broadcasts', options.broadcasts ?? (options.quick ? '100' : '1000')),
  kills: count('kills', options.kills ?? (options.quick ? '7' : '20')),
  seed: count('seed', options.seed ?? String(Date.now() % 1_000_000)),
  minutes: count('minutes', options.minutes),
};

/** Whether there is time to wait until a send that never arrived may be taken for absent. */
const patient = !options.quick;
const pace = options.quick ? quick : steady;

let running: Parts | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await running?.stop();
    process.exit(130);
  });
}

const failures: string[] = [];
for (const queue of queues()) {
  const outcome = await run(queue);
  print(outcome);
  failures.push(...wrongWith(outcome).map((line) => `${queue}: ${line}`));
}
console.log(
  failures.length === 0 ? '\nNothing lost, nothing doubled, no lie.' : `\n${failures.length} promises broken.`,
);
process.exit(failures.length === 0 ? 0 : 1);

async function run(queue: Queue): Promise<Outcome> {
  const began = performance.now();
  const say = (line: string) =>
    console.log(`${((performance.now() - began) / 1_000).toFixed(0).padStart(5)} s  ${line}`);
  console.log(`\nchaos: queue ${queue}, ${plan.broadcasts} broadcasts, ${plan.kills} faults, seed ${plan.seed}`);
  const { broadcasts, kills, seed } = plan;
  const parts = await startParts(queue, seed);
  running = parts;
  try {
    const giveUpAt = began + plan.minutes * 60_000;
    const places = placesFor(broadcasts);
    await configure(parts, places);
    breakWeather(parts.sandbox, { patient });
    say('everything works; the load begins');
    const loaded = performance.now();
    const signal = AbortSignal.timeout(Math.max(1, Math.round(giveUpAt - loaded)));
    const enough = new AbortController();
    const only = options.only?.toLowerCase() ?? null;
    const [load, done] = await Promise.all([
      sendLoad(parts, { broadcasts, overMs: kills * pace.stepMs, places, seed, enough: enough.signal }),
      wreak(parts, { kills, pace, seed, only, say, signal }).finally(() => enough.abort()),
    ]);
    parts.sandbox.behave();
    const ended = performance.now();
    say(`the load is over: ${load.accepted.size} accepted; the faults end`);
    await Promise.all([
      ...parts.apis.map(({ process }) => process.ready()),
      ...parts.workers.map((one) => one.ready()),
    ]);
    await untilConverged(parts, { giveUpAt, patient, say });
    const over = performance.now();
    const verdict = await audit(parts, load, { places, patient });
    const processes = [...parts.apis.map(({ process }) => process), ...parts.workers];
    return {
      queue,
      seed,
      broadcasts: load.sent,
      verdict,
      kills: done,
      requests: load.requests,
      seconds: { load: (ended - loaded) / 1_000, tail: (over - ended) / 1_000 },
      crashes: processes.flatMap(({ crashes }) => crashes),
      orderly: {
        done: processes.reduce((sum, { orderly }) => sum + orderly.done, 0),
        failed: processes.reduce((sum, { orderly }) => sum + orderly.failed, 0),
      },
    };
  } finally {
    if (options.logs) await cp(parts.logs, `${options.logs}/${queue}`, { recursive: true }).catch(console.error);
    await parts.stop();
    running = undefined;
  }
}

function queues(): Queue[] {
  const wanted = options.queue;
  if (wanted !== 'postgres' && wanted !== 'redis' && wanted !== 'both') throw new Error(usage);
  const asked: Queue[] = wanted === 'both' ? ['postgres', 'redis'] : [wanted];
  // redisAvailable says loudly what is left out.
  const possible = asked.filter((queue) => queue === 'postgres' || redisAvailable());
  if (possible.length === 0) throw new Error('There is no redis-server, so nothing was tried.');
  return possible;
}

function count(name: string, text: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new Error(`--${name} must be a positive whole number\n${usage}`);
  return number;
}
