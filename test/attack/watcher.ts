import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Target } from './target.ts';

/** What was seen from outside between `begin` and `end`. Times are in milliseconds. */
export interface Watched {
  /** How long /healthz was silent at most, and how long without the time in which the machine had no core for it. */
  silence: { wall: number; held: number; pings: number; refused: number };
  /** Critical broadcasts to a healthy webhook: from the post until it arrived there. */
  critical: { sent: number; arrived: number; worst: number; problems: string[] };
}

/** A process of its own: what it measures does not depend on how busy the attacker is. */
export interface Watcher {
  /** From now on at this process; it makes its healthy destination there. */
  aim(target: Target): Promise<void>;
  begin(): Promise<void>;
  /** Waits so long for the critical broadcasts that have not arrived yet. */
  end(patienceMs: number): Promise<Watched>;
  stop(): Promise<void>;
}

export type Order =
  | { do: 'aim'; url: string; apiKey: string; pid: number }
  | { do: 'begin' }
  | { do: 'end'; patienceMs: number };
export type Said = { ready: true } | { done: Order['do']; watched?: Watched } | { failed: string };

/** @param names whether the healthy webhook is called by a name, which the watcher's own name server answers */
export async function startWatcher({ names }: { names: boolean }): Promise<Watcher> {
  const child = fork(fileURLToPath(new URL('./watch.ts', import.meta.url)), names ? ['names'] : [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const next = () =>
    new Promise<Said>((resolve, reject) => {
      const gone = () => reject(new Error('the watcher ended'));
      child.once('exit', gone);
      child.once('message', (said: Said) => {
        child.off('exit', gone);
        if ('failed' in said) reject(new Error(said.failed));
        else resolve(said);
      });
    });
  const tell = (order: Order) => {
    const answered = next();
    child.send(order);
    return answered;
  };
  await next();
  return {
    async aim({ url, apiKey, pid }) {
      await tell({ do: 'aim', url, apiKey, pid: pid() });
    },
    async begin() {
      await tell({ do: 'begin' });
    },
    async end(patienceMs) {
      const said = await tell({ do: 'end', patienceMs });
      if (!('watched' in said) || !said.watched) throw new Error('the watcher told nothing');
      return said.watched;
    },
    async stop() {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await gone;
    },
  };
}
