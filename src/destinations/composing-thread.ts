import { Worker } from 'node:worker_threads';
import type { Said } from './adapter.ts';

/** What the thread made of one message. `none`: it did not get there in time, or ended. */
export type Made = { is: 'made'; json: string } | { is: 'failed'; why: string } | { is: 'none' };

export interface Thread {
  /** One message at a time. Never rejects. */
  compose(kind: string, said: Said): Promise<Made>;
  close(): Promise<void>;
}

/** How long the thread may take to start, in milliseconds, on a busy machine. */
const startMs = 20_000;

/** Enough for the largest message many times over; a text that needs more ends the thread instead of the process. */
const heapMb = 256;

/**
 * A thread that composes messages, so that a long one does not hold the process. It is started when it is first needed, and anew after it
 * had to be ended.
 */
export function createThread(deadlineMs: number): Thread {
  let worker: Worker | undefined;
  let isReady = false;
  let current: ((made: Made) => void) | undefined;
  let timer: NodeJS.Timeout | undefined;

  function start(): Worker {
    const started = new Worker(new URL('composing-worker.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: heapMb },
    });
    isReady = false;
    started.on('message', (made: Made | 'ready') => {
      if (made !== 'ready') return finish(made);
      isReady = true;
      if (current) limit(deadlineMs);
    });
    // It ends by an error, for want of memory, or because we end it.
    started.on('error', () => end(started));
    started.on('exit', () => end(started));
    return started;
  }

  function limit(ms: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const hung = worker;
      if (hung) end(hung);
      void hung?.terminate();
    }, ms);
  }

  function end(which: Worker): void {
    if (which !== worker) return;
    worker = undefined;
    finish({ is: 'none' });
  }

  function finish(made: Made): void {
    clearTimeout(timer);
    // An idle thread keeps no process alive.
    worker?.unref();
    const done = current;
    current = undefined;
    done?.(made);
  }

  return {
    compose(kind, said) {
      return new Promise((resolve) => {
        current = resolve;
        worker ??= start();
        worker.ref();
        limit(isReady ? deadlineMs : startMs);
        worker.postMessage({ kind, said });
      });
    },

    async close() {
      const open = worker;
      if (open) end(open);
      await open?.terminate();
    },
  };
}
