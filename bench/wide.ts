import { fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { redisAvailable } from '../test/support/redis.ts';
import { until } from '../test/support/until.ts';
import { type Arm, arms, type RunningArm, startArm } from './arms.ts';
import { median, secondsOf } from './cost.ts';
import { burst, monotonicMs, type Sink, startSink } from './driver.ts';
import { memoryOf, socketsOf } from './measures.ts';
import { type Check, publish } from './report.ts';

/** Origins; the destinations are paths there. */
const origins = 5;
const destinations = 2_000;
const idleMs = 10_000;
/** The figures to reach. */
const targets = { ratio: 2, idlePercent: 2, megabytes: 250, sockets: 100 };

/** One broadcast to 2,000 destinations against as many bare POSTs, in turns, and what the destinations cost while nothing is due. */
export async function run(args: string[]): Promise<boolean> {
  const { values } = parseArgs({
    args,
    options: { rounds: { type: 'string', default: '9' }, queue: { type: 'string' } },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds must be a whole number from 1 on');
  const results: Wide[] = [];
  const queues = values.queue ? [values.queue] : [...(redisAvailable() ? ['redis'] : []), 'postgres'];
  for (const queue of queues) {
    const arm = { redis: arms.redis1, postgres: arms.postgres1 }[queue];
    if (!arm) throw new Error('--queue must be redis or postgres');
    results.push(await measure(arm, rounds));
  }
  const ms = (values: readonly number[]) => median(values).toFixed(0);
  const percent = (value: number) => `${value.toFixed(1)} %`;
  return publish({
    bench: 'wide',
    results,
    tables: [
      {
        title: `One broadcast to ${destinations} webhooks at ${origins} origins, ${rounds} times, in turns with as many bare POSTs; medians, ms`,
        rows: [
          ['', 'bare POSTs', 'request to last receipt', '× bare', 'request to 202', '202 to last receipt', '× bare'],
          ...results.map(({ name, bare, whole, accept, rest }) => [
            name,
            ms(bare),
            ms(whole),
            (median(whole) / median(bare)).toFixed(2),
            ms(accept),
            ms(rest),
            (median(rest) / median(bare)).toFixed(2),
          ]),
        ],
      },
      {
        title: `Nothing due for ${idleMs / 1_000} s: processor time in percent of a core`,
        rows: [
          ['', 'destinations', 'worker', 'API', 'Redis', 'PostgreSQL', "worker's memory", "worker's connections"],
          ...results.flatMap(({ name, idle }) =>
            idle.map((each) => [
              `${name}, ${each.when}`,
              String(each.destinations),
              percent(each.worker),
              each.api === null ? 'in it' : percent(each.api),
              percent(each.redis),
              percent(each.postgres),
              `${each.megabytes} MB`,
              String(each.sockets),
            ]),
          ),
        ],
      },
    ],
    checks: results.flatMap(checksOf),
  });
}

interface Wide {
  name: string;
  /** Milliseconds of each round. */
  bare: number[];
  whole: number[];
  accept: number[];
  rest: number[];
  idle: Idle[];
}

interface Idle {
  when: string;
  destinations: number;
  worker: number;
  /** Null where the API is in the same process. */
  api: number | null;
  redis: number;
  postgres: number;
  megabytes: number | null;
  sockets: number;
}

function checksOf({ name, bare, whole, idle }: Wide): Check[] {
  const many = idle.filter((each) => each.destinations >= destinations);
  const most = (of: (idle: Idle) => number | null) => Math.max(...many.map((each) => of(each) ?? 0));
  return [
    {
      what: `${name}: request to last receipt : bare POSTs`,
      value: median(whole) / median(bare),
      bound: targets.ratio,
      side: 'most',
    },
    {
      what: `${name}: idle, % of a core`,
      value: most(({ worker }) => worker),
      bound: targets.idlePercent,
      side: 'most',
    },
    { what: `${name}: idle, MB`, value: most(({ megabytes }) => megabytes), bound: targets.megabytes, side: 'most' },
    { what: `${name}: idle, connections`, value: most(({ sockets }) => sockets), bound: targets.sockets, side: 'most' },
  ];
}

async function measure(arm: Arm, rounds: number): Promise<Wide> {
  const sink = await startSink(origins);
  const bare = fork(fileURLToPath(new URL('./bare.ts', import.meta.url)));
  try {
    const running = await startArm(arm, sink.ports);
    try {
      await burst(running, sink, 100, 'warm-up');
      const found: Wide = { name: arm.name, bare: [], whole: [], accept: [], rest: [], idle: [] };
      found.idle.push(await idle(running, 'a few destinations', origins));
      const names = Array.from({ length: destinations }, (_, n) => `wide-${n}`);
      const urls = names.map((name, n) => `http://127.0.0.1:${sink.ports[n % origins]}/${name}`);
      for (let n = 0; n < names.length; n += 8) {
        await Promise.all(names.slice(n, n + 8).map((name, i) => running.put(name, urls[n + i] as string, {})));
      }
      await running.db?.query('vacuum analyze');
      found.idle.push(await idle(running, 'before the first broadcast', origins + destinations));
      const ours = async () => {
        const { whole, accept, rest } = await tell(running, sink, names);
        found.whole.push(whole);
        found.accept.push(accept);
        found.rest.push(rest);
      };
      const theirs = async () => void found.bare.push(await post(bare, sink, urls));
      // Compilers and connections settle.
      for (let n = 0; n < 2; n++) {
        await tell(running, sink, names);
        await post(bare, sink, urls);
      }
      for (let n = 0; n < rounds; n++) for (const one of n % 2 === 0 ? [theirs, ours] : [ours, theirs]) await one();
      found.idle.push(await idle(running, 'after the last one', origins + destinations));
      return found;
    } finally {
      await running.stop();
    }
  } finally {
    bare.disconnect();
    sink.stop();
  }
}

/** One broadcast to all of them. Returns when it has converged and no destination has a drainer any more. */
async function tell(running: RunningArm, sink: Sink, names: readonly string[]) {
  const message = { title: 'Wide', body: 'Error rate **42 %** since 14:02.', severity: 'error' };
  await sink.take();
  const began = monotonicMs();
  const { status, text } = await running.call('POST', '/broadcasts', { message, destinations: names });
  const accepted = monotonicMs();
  if (status !== 202) throw new Error(`The broadcast was answered ${status}: ${text.slice(0, 500)}`);
  await until('the last receipt', async () => (await sink.count()) >= names.length, { everyMs: 5 });
  const { last } = await sink.take();
  const { id } = JSON.parse(text);
  await until('it to converge', async () =>
    (await running.call('GET', `/broadcasts/${id}?wait=30`)).text.includes('"delivered"'),
  );
  await delay(2_500);
  return { whole: last - began, accept: accepted - began, rest: last - accepted };
}

/** The same message by bare POSTs. */
async function post(bare: ReturnType<typeof fork>, sink: Sink, urls: readonly string[]): Promise<number> {
  const message = { title: 'Wide', body: 'Error rate **42 %** since 14:02.', severity: 'error' };
  const data = { broadcastId: 'x'.repeat(29), deliveryId: 'x'.repeat(29), revision: 1, retracted: false, message };
  const body = JSON.stringify({ type: 'broadcast.message', timestamp: new Date().toISOString(), data });
  await sink.take();
  const done = new Promise<{ began: number }>((resolve) => bare.once('message', (answer) => resolve(answer as never)));
  bare.send({ urls, body });
  const { began } = await done;
  const { last, count } = await sink.take();
  if (count !== urls.length) throw new Error(`Of ${urls.length} bare POSTs ${count} arrived.`);
  return last - began;
}

/** What the processes cost while nothing is due. */
async function idle(running: RunningArm, when: string, destinations: number): Promise<Idle> {
  const { pids } = running;
  const workers = pids.worker.length > 0 ? pids.worker : pids.api;
  // What was done before leaves vacuums and idle connections to end.
  await delay(idleMs);
  const [before, began] = [await secondsOf(running), performance.now()];
  await delay(idleMs);
  const [after, ms] = [await secondsOf(running), performance.now() - began];
  const percent = (part: keyof typeof after) => ((after[part] - before[part]) * 100_000) / ms;
  const alone = pids.worker.length === 0;
  return {
    when,
    destinations,
    worker: percent(alone ? 'api' : 'worker'),
    api: alone ? null : percent('api'),
    redis: percent('redis'),
    postgres: percent('postgres'),
    megabytes: await memoryOf(workers[0] ?? 0),
    sockets: await socketsOf(workers[0] ?? 0),
  };
}
