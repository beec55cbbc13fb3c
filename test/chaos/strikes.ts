import { setTimeout as delay } from 'node:timers/promises';
import type { Sandbox, Service } from '../../sandbox/index.ts';
import { freezeBackends, freezeWorker, vanish } from './freezes.ts';
import type { Deeds, Kills, Pace } from './kills.ts';
import type { Parts } from './parts.ts';
import type { Random } from './random.ts';
import { killOnlyWorker } from './recovery.ts';
import type { RedisAtRisk, Server } from './servers.ts';

export const bothWorkers = 'SIGKILL every worker';
const services: Service[] = ['slack', 'graph', 'jira', 'pagerduty', 'webhook'];
const tenMinutes = 600_000;

/** What is done to the parts themselves. Each resolves when what it took away is back, or about to be. */
export function strikesOn(parts: Parts, random: Random, pace: Pace, done: Kills): Deeds {
  const { apis, workers, postgres, redis, sandbox } = parts;
  const down = (server: Server) => async () => {
    await server.kill();
    await delay(random.int(200, 4_000));
    await server.start();
  };
  const absence = () => random.int(...pace.absenceMs);
  const clock = (offsetMs: number) => async () => {
    const worker = random.pick(workers);
    // What is looked for meanwhile: a wrong clock could misjudge how long ago it was sent.
    for (const service of services) sandbox.misbehave(service, { do: 'swallow', times: 1 });
    await worker.setClock(offsetMs);
    await delay(random.int(...pace.longMs));
    // What is put off just before the clock is right again: its job is then in the queue for the wrong time.
    for (const service of services) sandbox.misbehave(service, { do: 'rateLimit', retryAfter: 4, times: 6 });
    await delay(3_000);
    await worker.setClock(0);
  };
  return {
    'SIGKILL an API': () => random.pick(apis).process.kill('SIGKILL'),
    'SIGKILL a worker': () => random.pick(workers).kill('SIGKILL'),
    [bothWorkers]: async () => {
      done.recoveries.push(await killOnlyWorker(workers, sandbox, () => postgres.directUrl()));
    },
    'SIGTERM a worker': () => random.pick(workers).kill('SIGTERM'),
    'SIGTERM an API': () => random.pick(apis).process.kill('SIGTERM'),
    'SIGKILL PostgreSQL': down(postgres),
    'a worker stands still in a transaction': () => freezeWorker(parts, random.pick(workers), absence()),
    'a machine vanishes in a transaction': () => vanish(parts, random.pick(workers), absence()),
    'an API stands still': () => freezeApi(parts, random),
    'sessions of PostgreSQL stand still': () => freezeBackends(postgres, random, random.int(...pace.longMs)),
    "a worker's clock ten minutes ahead": clock(tenMinutes),
    "a worker's clock ten minutes behind": clock(-tenMinutes),
    ...(redis && {
      'SIGKILL Redis': down(redis),
      'FLUSHALL Redis': () => redis.flush(),
      'replace Redis by an empty one': () => redis.replace(),
      'evict parts of Redis': () => evictParts(redis, sandbox, random),
    }),
  };
}

async function freezeApi({ apis }: Parts, random: Random): Promise<void> {
  const { process } = random.pick(apis);
  await process.ready();
  process.send('SIGSTOP');
  try {
    await delay(random.int(5_000, 15_000));
  } finally {
    process.send('SIGCONT');
  }
}

/** While there is a backlog: an idle queue holds next to nothing. */
async function evictParts(redis: RedisAtRisk, sandbox: Sandbox, random: Random): Promise<string> {
  for (const service of services) {
    sandbox.misbehave(service, { do: 'slow', ms: 2_000, times: 6 }, { do: 'rateLimit', retryAfter: 2, times: 4 });
  }
  let evicted = 0;
  for (let n = 0; n < 4; n += 1) {
    await delay(1_000);
    evicted += await redis.evict(0.5, random);
  }
  return `${evicted} keys`;
}
