import type { Database } from './database.ts';
import { dueChannel } from './due.ts';
import { type Subscription, subscribe } from './subscribe.ts';

/** Hears that something changed, whichever process did it, and waits for broadcasts to converge. */
export interface Convergence {
  /** Resolves when the broadcast has converged, is gone, `ms` have passed, or `signal` aborts: whichever comes first. */
  wait(broadcastId: string, ms: number, signal: AbortSignal): Promise<void>;
  /**
   * Calls back whenever something may have changed: this broadcast, or with null anything. Not every change is notified, and who
   * listens also polls. Answers how to stop it.
   */
  onHint(hear: (broadcastId: string | null) => void): () => void;
  close(): Promise<void>;
}

/** How often those who wait look for themselves: a notification that came while the connection was broken is lost. */
const pollMs = 1_000;

/**
 * One LISTEN connection for the whole process, opened when somebody first waits or listens. A notification only says that a broadcast
 * changed; the ledger says whether that was the end.
 */
export function listen(db: Database): Convergence {
  const waiting = new Map<string, Set<() => void>>();
  const changed = new Set<string>();
  const listeners = new Set<(broadcastId: string | null) => void>();
  let subscription: Subscription | undefined;
  let poll: NodeJS.Timeout | undefined;
  let looking = false;
  let closed = false;

  function hear(): void {
    const url = db.options.connectionString ?? '';
    subscription ??= subscribe(
      url,
      {
        // Ids, one a line: what was settled together is told together.
        tocsin_broadcast: (lines) => {
          const ids = lines.split('\n');
          look(ids);
          for (const id of ids) tell(id);
        },
        [dueChannel]: () => tell(null),
        tocsin_destinations: () => tell(null),
      },
      () => {
        lookAll();
        tell(null);
      },
    );
  }

  function tell(broadcastId: string | null): void {
    for (const listener of listeners) listener(broadcastId);
  }

  function look(ids: Iterable<string>): void {
    for (const id of ids) if (waiting.has(id)) changed.add(id);
    if (!looking) void lookNow();
  }

  async function lookNow(): Promise<void> {
    looking = true;
    while (changed.size > 0) {
      const ids = [...changed];
      changed.clear();
      try {
        const { rows } = await db.query<{ id: string }>({
          name: 'still-converging',
          text: `select id from broadcasts where id = any($1) and state = 'converging'`,
          values: [ids],
        });
        const open = new Set(rows.map(({ id }) => id));
        for (const id of ids) if (!open.has(id)) for (const wake of waiting.get(id) ?? []) wake();
      } catch {
        // The poll asks again.
      }
    }
    looking = false;
  }

  function lookAll(): void {
    look(waiting.keys());
  }

  return {
    wait(broadcastId, ms, signal) {
      if (closed || signal.aborted) return Promise.resolve();
      return new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          const others = waiting.get(broadcastId);
          others?.delete(done);
          if (others?.size === 0) waiting.delete(broadcastId);
          if (waiting.size === 0) {
            clearInterval(poll);
            poll = undefined;
          }
          resolve();
        };
        const timer = setTimeout(done, ms);
        signal.addEventListener('abort', done, { once: true });
        const others = waiting.get(broadcastId) ?? new Set();
        waiting.set(broadcastId, others.add(done));
        poll ??= setInterval(lookAll, pollMs);
        hear();
        // It may have converged between the caller's own look and this line.
        look([broadcastId]);
      });
    },

    onHint(listener) {
      if (!closed) hear();
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },

    async close() {
      closed = true;
      for (const wakes of [...waiting.values()]) for (const wake of [...wakes]) wake();
      await subscription?.close();
    },
  };
}
