import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../support/until.ts';
import type { Random } from './random.ts';

/** A process that is started again, a random short while after whatever ended it. */
export interface Supervised {
  readonly name: string;
  /** When its present life began, by `performance.now()`; null while there is none. */
  readonly bornAt: number | null;
  /** Ends that nobody here asked for, with the last that was said. */
  readonly crashes: readonly string[];
  /** How many of the orderly ends that were asked for ended with status 0, and how many did not. */
  readonly orderly: { done: number; failed: number };
  /** Resolves when the present life has said that it works. */
  ready(): Promise<void>;
  /** Resolves when it is gone; the supervisor brings it back. A frozen one is thawed, because it could not end otherwise. */
  kill(signal: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** To the present life, if there is one: SIGSTOP, SIGCONT, or SIGUSR2 for its clock. */
  send(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGUSR2'): void;
  /** For good. */
  stop(): Promise<void>;
}

export interface Program {
  name: string;
  file: string;
  env: Record<string, string>;
  /** What it logs when it works. */
  readyWhen: string;
}

/** As long as an orchestrator would commonly wait. */
const patienceMs = 30_000;

export function supervise({ name, file, env, readyWhen }: Program, logs: string, random: Random): Supervised {
  const pidFile = join(logs, `${name}.pid`);
  const log = createWriteStream(join(logs, `${name}.log`), { flags: 'a' });
  const crashes: string[] = [];
  const orderly = { done: 0, failed: 0 };
  let child: ChildProcess | undefined;
  let bornAt: number | null = null;
  let isReady = false;
  let asked: NodeJS.Signals | null = null;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;

  function start(): void {
    const life = spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    child = life;
    bornAt = performance.now();
    isReady = false;
    asked = null;
    // Whoever cleans up after a run that was itself killed ends what left its pid here.
    if (life.pid) void writeFile(pidFile, String(life.pid));
    let tail = '';
    for (const output of [life.stdout, life.stderr]) {
      output.on('data', (said: Buffer) => {
        log.write(said);
        tail = (tail + said).slice(-4_000);
        if (!isReady && tail.includes(readyWhen)) isReady = true;
      });
    }
    life.once('exit', (status, signal) => {
      child = undefined;
      bornAt = null;
      if (asked === null) crashes.push(`${name} ended by itself (${signal ?? status}): ${tail.trim().slice(-600)}`);
      // One that is told to end before it has begun need not end in order.
      if (asked === 'SIGTERM' && isReady) orderly[status === 0 ? 'done' : 'failed'] += 1;
      if (stopped) return;
      timer = setTimeout(start, random.int(200, 3_000));
    });
  }

  async function kill(signal: NodeJS.Signals): Promise<void> {
    const life = await until(`${name} to live`, () => child, { timeoutMs: patienceMs });
    asked = signal;
    const gone = new Promise((resolve) => life.once('exit', resolve));
    life.kill(signal);
    life.kill('SIGCONT');
    const inTime = await Promise.race([gone.then(() => true), delay(patienceMs, false, { ref: false })]);
    if (inTime) return;
    life.kill('SIGKILL');
    await gone;
  }

  start();
  return {
    name,
    crashes,
    orderly,
    get bornAt() {
      return bornAt;
    },
    async ready() {
      await until(`${name} to be ready`, () => isReady && child !== undefined, { timeoutMs: 90_000 });
    },
    kill,
    send: (signal) => void child?.kill(signal),
    async stop() {
      stopped = true;
      clearTimeout(timer);
      if (child) await kill('SIGTERM');
      await rm(pidFile, { force: true });
      log.end();
    },
  };
}
