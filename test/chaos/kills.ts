import { setTimeout as delay } from 'node:timers/promises';
import type { Parts } from './parts.ts';
import { createRandom, type Random } from './random.ts';
import { killOnlyWorker, type Recovery } from './recovery.ts';
import type { Server } from './servers.ts';

export interface Kills {
  /** How often each thing was done. */
  counts: Record<string, number>;
  recoveries: Recovery[];
}

type Strikes = Record<string, () => Promise<unknown>>;

/** How long there is peace between two kills, in milliseconds; and about how long both take, which the load is spread over. */
export interface Pace {
  peaceMs: readonly [number, number];
  strikeMs: number;
}
export const steady: Pace = { peaceMs: [3_000, 9_000], strikeMs: 9_500 };
export const quick: Pace = { peaceMs: [1_000, 3_000], strikeMs: 6_500 };

/**
 * Kills so many times, each part in turn in a drawn order, and lets the network fail beside every other kill. Resolves when what was
 * struck last is back.
 */
export async function wreak(
  parts: Parts,
  options: { kills: number; pace: Pace; seed: number; say: (line: string) => void; signal: AbortSignal },
): Promise<Kills> {
  const { kills, pace, seed, say, signal } = options;
  const random = createRandom(seed, 'kills');
  const done: Kills = { counts: {}, recoveries: [] };
  const strikes = strikesOn(parts, random, done);
  const storms = stormsOn(parts, random);
  let deck: string[] = [];
  let weather: string[] = [];

  for (let n = 1; n <= kills && !signal.aborted; n += 1) {
    await delay(random.int(...pace.peaceMs));
    if (deck.length === 0) deck = random.shuffled(Object.keys(strikes));
    if (weather.length === 0) weather = random.shuffled(Object.keys(storms));
    const name = deck.pop() as string;
    // How long the only worker takes to come back is measured in fair weather.
    const storm = n % 2 === 0 && name !== bothWorkers ? (weather.pop() as string) : null;
    say(`kill ${n}/${kills}: ${name}${storm ? `, beside ${storm}` : ''}`);
    const over = storm ? count(done, storm, storms) : undefined;
    if (storm) await delay(random.int(0, 1_500));
    await count(done, name, strikes);
    await over;
  }
  return done;
}

async function count({ counts }: Kills, name: string, deeds: Strikes): Promise<void> {
  counts[name] = (counts[name] ?? 0) + 1;
  await deeds[name]?.();
}

const bothWorkers = 'SIGKILL every worker';

function strikesOn({ apis, workers, postgres, redis, sandbox }: Parts, random: Random, done: Kills): Strikes {
  const down = (server: Server) => async () => {
    await server.kill();
    await delay(random.int(200, 4_000));
    await server.start();
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
    ...(redis && {
      'SIGKILL Redis': down(redis),
      'FLUSHALL Redis': () => redis.flush(),
      'replace Redis by an empty one': () => redis.replace(),
    }),
  };
}

function stormsOn({ postgres, redis }: Parts, random: Random): Strikes {
  const over =
    ({ proxy }: Server, begin: (proxy: Server['proxy']) => void) =>
    async () => {
      begin(proxy);
      await delay(random.int(1_000, 6_000));
      proxy.heal();
    };
  const around = (name: string, server: Server): Strikes => ({
    [`${name} cut off`]: over(server, (proxy) => proxy.cut()),
    [`${name} silent`]: over(server, (proxy) => proxy.stall()),
    [`${name} slow`]: over(server, (proxy) => proxy.slow(random.int(20, 200))),
  });
  return { ...around('PostgreSQL', postgres), ...(redis && around('Redis', redis)) };
}
