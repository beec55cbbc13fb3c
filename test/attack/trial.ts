import { setTimeout as delay } from 'node:timers/promises';
import { type Hostile, startHostile } from './hostile.ts';
import type { Answer, CallOptions, Target } from './target.ts';
import type { Watched, Watcher } from './watcher.ts';

/** The event loop may not be held for longer, in milliseconds, apart from time in which the machine had no core for it. */
const heldLimitMs = 200;
/** A critical broadcast to a healthy webhook arrives within so many milliseconds; longer where the machine leaves less than a core. */
const criticalLimitMs = 5_000;
/** Memory may grow by so many MB. */
const memoryLimitMb = 400;
/** An attack that takes longer has got through, in milliseconds. */
const patienceMs = 30_000;

export interface Attack {
  name: string;
  /** It leaves work behind that would disturb what follows. */
  leaves?: boolean;
  /** Only in a network of its own. */
  needsNames?: boolean;
  /** What was done, in a few words. */
  run(trial: Trial): Promise<string>;
}

/** What an attack works with. */
export interface Trial {
  target: Target;
  api(method: string, path: string, body?: unknown, options?: CallOptions): Promise<Answer>;
  /** A server that answers as it is told; closed when the attack is over. */
  hostile(handler: Parameters<typeof startHostile>[0]): Promise<Hostile>;
  /** Something else to be ended when the attack is over. */
  later(end: () => unknown): void;
  /** Notes what was seen, and whether it may be so. */
  check(ok: boolean, seen: string): void;
  /** The broadcast's deliveries once none is open any more, or as they are after so many milliseconds. */
  settled(id: string, forMs: number): Promise<Delivery[]>;
  /** Waits for a condition, so many milliseconds at the most. Like all bounds, they are longer on a busy machine. */
  wait(forMs: number, condition?: () => boolean | Promise<boolean>): Promise<void>;
}

export interface Delivery {
  id: string;
  destination: string;
  state: string;
  attempt: number;
  lastError: { reason: string; message: string } | null;
}

export interface Report {
  name: string;
  done: string;
  seen: string[];
  verdict: 'ok' | 'FAIL' | 'SKIP' | 'LATE';
}

export async function tryOne(
  attack: Attack,
  { target, watcher, inside, until }: { target: Target; watcher: Watcher; inside: boolean; until: number },
): Promise<Report> {
  const { name } = attack;
  if (performance.now() > until) return { name, done: 'not tried', seen: ['the time was up'], verdict: 'LATE' };
  if (attack.needsNames && !inside) {
    return { name, done: 'not tried', seen: ['it needs a network of its own: root, unshare and ip'], verdict: 'SKIP' };
  }
  const seen: string[] = [];
  let failed = false;
  const check = (ok: boolean, what: string) => {
    seen.push(ok ? what : `✗ ${what}`);
    if (!ok) failed = true;
  };
  const ends: (() => unknown)[] = [];
  const { api } = target;
  const trial: Trial = {
    target,
    api,
    async hostile(handler) {
      const hostile = await startHostile(handler);
      ends.push(() => hostile.close());
      return hostile;
    },
    later: (end) => void ends.push(end),
    check,
    settled: (id, forMs) => settled(trial, id, forMs),
    async wait(forMs, condition = () => false) {
      const began = performance.now();
      while (!(await condition()) && performance.now() - began < forMs * pace()) await delay(100);
    },
  };
  const before = target.memory().now;
  const pace = target.watchPace();
  target.forgetPeak();
  await watcher.begin();
  let done = 'it did not come to its end';
  const pid = target.pid();
  try {
    const began = performance.now();
    const running = attack.run(trial).then((told) => {
      done = told;
      return true;
    });
    let over = false;
    while (!over && performance.now() - began < patienceMs * pace()) {
      over = await Promise.race([running, delay(200, false)]);
    }
    running.catch(() => {});
    if (!over) check(false, `not over after ${((performance.now() - began) / 1_000).toFixed(0)} s`);
  } catch (error) {
    check(false, `${error instanceof Error ? error.message : error}`);
  }
  const slow = pace();
  judge(await watcher.end(criticalLimitMs * slow), slow, check);
  const lives = target.lives() && target.pid() === pid;
  if (!lives) check(false, 'THE PROCESS ENDED');
  else {
    const { peak } = target.memory();
    const grown = Math.max(0, peak - before);
    check(grown <= memoryLimitMb, `memory: ${before.toFixed(0)} MB before, at most ${peak.toFixed(0)} MB`);
  }
  for (const end of ends.reverse()) await end();
  return { name, done, seen: [seen.join('; ')], verdict: failed ? 'FAIL' : 'ok' };
}

function judge({ silence, critical }: Watched, slow: number, check: Trial['check']): void {
  const { held, wall, pings, refused } = silence;
  check(held <= heldLimitMs, `loop held ${held.toFixed(0)} ms (${wall.toFixed(0)} ms by the clock, ${pings} looks)`);
  if (refused > 0) check(false, `/healthz was refused ${refused} times`);
  const { sent, arrived, worst, problems } = critical;
  const inTime = arrived === sent && worst <= criticalLimitMs * slow;
  const pace = slow < 1.5 ? '' : ` on a machine that is ${slow.toFixed(1)} times slower`;
  check(inTime, `critical: ${arrived} of ${sent} arrived within ${(worst / 1_000).toFixed(1)} s${pace}`);
  if (problems.length > 0) check(false, `critical posts: ${[...new Set(problems)].join(', ')} (${problems.length})`);
}

const open = ['pending', 'sending', 'verifying', 'retrying', 'held'];

async function settled({ api, wait }: Trial, id: string, forMs: number): Promise<Delivery[]> {
  let deliveries: Delivery[] = [];
  await wait(forMs, async () => {
    const { body, status } = await api('GET', `/broadcasts/${id}`);
    deliveries = status === 200 ? body.deliveries : [];
    return deliveries.length > 0 && deliveries.every(({ state }) => !open.includes(state));
  });
  return deliveries;
}
