// Hostile input against a Tocsin of our own, one attack after the other, measured from outside.
import { parseArgs } from 'node:util';
import { redisAvailable } from '../support/redis.ts';
import { attacks } from './attacks.ts';
import { enclose, enclosed } from './enclosure.ts';
import { type Queue, startTarget, type Target } from './target.ts';
import { type Report, tryOne } from './trial.ts';
import { startWatcher, type Watcher } from './watcher.ts';

const usage = `npm run attack -- [options]
  --queue postgres|redis|both   default both; without redis-server only postgres
  --only TEXT                   only attacks whose name holds this
  --logs                        print the target's log when an attack succeeded
It attacks only what it starts, on loopback, and ends within six minutes for each queue.`;

const { values: options } = parseArgs({
  options: {
    queue: { type: 'string', default: 'both' },
    only: { type: 'string' },
    logs: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(usage);
  process.exit(0);
}

// Silent name servers need a network of our own. What is attacked in one can reach nothing else, either.
const inside = enclosed() || (await enclose(process.argv.slice(1)));

/** How long the attacks on one queue may take in all, in milliseconds. */
const patienceMs = 6 * 60_000;

const reports: { queue: Queue; report: Report }[] = [];
let stopping: (() => Promise<void>) | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await stopping?.();
    process.exit(130);
  });
}
for (const queue of queues()) await run(queue);

const failed = reports.filter(({ report }) => report.verdict === 'FAIL');
const skipped = reports.filter(({ report }) => report.verdict === 'SKIP');
for (const { report } of skipped) console.log(`SKIPPED: ${report.name}: ${report.seen.join('; ')}`);
console.log(
  failed.length === 0
    ? `\n${reports.length - skipped.length} attacks, and it held.`
    : `\n${failed.length} of ${reports.length} attacks got through: ${failed.map(({ queue, report }) => `${report.name} (${queue})`).join(', ')}`,
);
process.exit(failed.length === 0 ? 0 : 1);

async function run(queue: Queue): Promise<void> {
  const began = performance.now();
  const seconds = () => ((performance.now() - began) / 1_000).toFixed(0);
  let target: Target | undefined;
  let watcher: Watcher | undefined;
  stopping = async () => {
    await watcher?.stop();
    await target?.stop();
  };
  try {
    target = await startTarget(queue);
    watcher = await startWatcher({ names: inside });
    await watcher.aim(target);
    console.log(`\nattack: queue ${queue}, ${inside ? 'in a network of its own' : 'without a network of its own'}`);
    for (const attack of attacks) {
      if (options.only && !attack.name.includes(options.only)) continue;
      const report = await tryOne(attack, { target, watcher, inside, until: began + patienceMs });
      reports.push({ queue, report });
      console.log(`${report.verdict.padEnd(5)}${seconds().padStart(4)} s  ${report.name}: ${report.done}`);
      for (const line of report.seen) console.log(`             ${line}`);
      if (report.verdict === 'FAIL' && options.logs) console.log(target.logs().slice(-4_000));
      // What an attack leaves behind must not be taken for what the next one does.
      if (report.verdict === 'FAIL' || attack.leaves) {
        await target.renew();
        await watcher.aim(target);
      }
    }
    const leaked = target.leaks();
    reports.push({
      queue,
      report: {
        name: 'no credential in any answer or log',
        done: `${target.answers()} answers and the log were searched`,
        seen: leaked,
        verdict: leaked.length === 0 ? 'ok' : 'FAIL',
      },
    });
    const { report } = reports.at(-1) as { report: Report };
    console.log(`${report.verdict.padEnd(5)}${seconds().padStart(4)} s  ${report.name}: ${report.done}`);
    for (const line of report.seen) console.log(`             ${line}`);
  } finally {
    await stopping();
    stopping = undefined;
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
