export interface Waiting {
  changed: () => void;
  until: <T>(condition: () => T | Promise<T>, options?: { timeoutMs?: number }) => Promise<T>;
  close: () => void;
}

/** Conditions may also look at things outside the sandbox, which can't announce their changes; so also look this often. */
const LOOK_EVERY_MS = 50;

/** `describe` tells, for a wait that ran out, what the sandbox saw. */
export function createWaiting(describe: () => string): Waiting {
  let changes = 0;
  let isClosed = false;
  const wakers = new Set<() => void>();
  const wake = () => {
    for (const waker of wakers) waker();
  };
  const change = (ms: number) =>
    new Promise<void>((resolve) => {
      const woken = () => {
        clearTimeout(timer);
        wakers.delete(woken);
        resolve();
      };
      const timer = setTimeout(woken, ms);
      wakers.add(woken);
    });

  return {
    changed() {
      changes += 1;
      wake();
    },
    async until(condition, { timeoutMs = 60_000 } = {}) {
      const deadline = Date.now() + timeoutMs;
      let thrown: unknown;
      for (;;) {
        const seen = changes;
        try {
          const result = await condition();
          if (result) return result;
          thrown = undefined;
        } catch (error) {
          // A condition that can't be read yet, like a field of the first of no messages, does not hold yet.
          thrown = error;
        }
        if (isClosed) throw new Error(`The sandbox was closed while waiting for: ${condition}`);
        const left = deadline - Date.now();
        if (left <= 0) {
          const why = thrown === undefined ? '' : `\nIt last threw: ${thrown}`;
          throw new Error(`Not within ${timeoutMs} ms: ${condition}${why}\n${describe()}`);
        }
        if (seen === changes) await change(Math.min(left, LOOK_EVERY_MS));
      }
    },
    close() {
      isClosed = true;
      wake();
    },
  };
}
