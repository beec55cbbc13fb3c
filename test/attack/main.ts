// Hostile input against a Tocsin of our own, one attack after the other, measured from outside.
import { parseArgs } from 'node:util';
import { redisAvailable } from '../support/redis.ts';
import { attacks } from './attacks.ts';
import { enclose, enclosed } from './enclosure.ts';
import { type Queue, startTarget, type Target } from './target.ts';
import { type Report, tryOne } from './trial.ts';
import { warmUp } from './warm.ts';
import { startWatcher, type Watcher } from './watcher.ts';

const usage = `npm run attack -- [options]
  --queue postgres|redis|both   default both; without redis-server only postgres
  --only TEXT,TEXT              only attacks whose name holds one of these
  --minutes N                   how long each queue may take; default 10; two idle cores take three
  --logs                        print the target's log when an attack succeeded
It attacks only what it starts, on loopback. Attacks for which there was no time fail the run.`;

const { values: options } = parseArgs({
  options: {
    queue: { type: 'string', default: 'both' },
    only: { type: 'string' },
    minutes: { type: 'string', default: '10' },
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

const only = options.only?.split(',');
/** How long the attacks on one queue may take in all, in milliseconds. */
const patienceMs = Number(options.minutes) * 60_000;
if (!(patienceMs > 0)) throw new Error(usage);

const reports: { queue: Queue; report: Report }[] = [];
let stopping: (() => Promise<void>) | undefined;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await stopping?.();
    process.exit(130);
  });
}
for (const queue of queues()) await run(queue);

const of = (verdict: Report['verdict']) => reports.filter(({ report }) => report.verdict === verdict);
const named = (some: typeof reports) => some.map(({ queue, report }) => `${report.name} (${queue})`).join(', ');
const [failed, skipped, late] = [of('FAIL'), of('SKIP'), of('LATE')];
if (skipped.length > 0) console.log(`\nSKIPPED, because it is not possible here: ${named(skipped)}`);
if (late.length > 0) console.log(`\nNOT TRIED, because the time was up: ${named(late)}`);
const tried = reports.length - skipped.length - late.length;
console.log(
  failed.length === 0
    ? `\n${tried} attacks, and it held.`
    : `\n${failed.length} of ${tried} attacks got through: ${named(failed)}`,
);
process.exit(failed.length + late.length === 0 ? 0 : 1);

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
    await prepare(target, watcher);
    console.log(`\nattack: queue ${queue}, ${inside ? 'in a network of its own' : 'without a network of its own'}`);
    for (const attack of attacks) {
      if (only && !only.some((text) => attack.name.includes(text))) continue;
      const report = await tryOne(attack, { target, watcher, inside, until: began + patienceMs });
      reports.push({ queue, report });
      console.log(`${report.verdict.padEnd(5)}${seconds().padStart(4)} s  ${report.name}: ${report.done}`);
      for (const line of report.seen) console.log(`             ${line}`);
      if (report.verdict === 'FAIL' && options.logs) console.log(target.logs().slice(-4_000));
      // What an attack leaves behind must not be taken for what the next one does.
      if (report.verdict === 'FAIL' || (attack.leaves && report.verdict === 'ok' && attack !== attacks.at(-1))) {
        await target.renew();
        await prepare(target, watcher);
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

/** Whatever is loaded at the first message of a kind is loaded now, and the healthy webhook is there. */
async function prepare(target: Target, watcher: Watcher): Promise<void> {
  await watcher.aim(target);
  await warmUp(target);
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
