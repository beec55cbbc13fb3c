export interface Loop {
  /** Go round now, or at once again if under way. */
  wake(): void;
  /** Resolves when the round under way, if any, is over. */
  stop(): Promise<void>;
}

/**
 * Goes round when woken, and at least every `everyMs`. A round that answers true found more to do and is followed by another at
 * once. One that throws is reported and tried again after `everyMs`: no error ends a loop.
 */
export function loop(
  round: () => Promise<boolean>,
  { everyMs, onError }: { everyMs: number; onError(error: unknown): void },
): Loop {
  let stopped = false;
  let woken = true;
  let rest: { timer: NodeJS.Timeout; end(): void } | undefined;

  const sleep = () =>
    new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        rest = undefined;
        resolve();
      };
      const timer = setTimeout(end, everyMs);
      rest = { timer, end };
    });

  const running = (async () => {
    while (!stopped) {
      woken = false;
      let more = false;
      try {
        more = await round();
      } catch (error) {
        onError(error);
        // Being woken must not turn a failing round into a busy one.
        woken = false;
      }
      if (!more && !woken && !stopped) await sleep();
    }
  })();

  return {
    wake() {
      woken = true;
      rest?.end();
    },
    async stop() {
      stopped = true;
      rest?.end();
      await running;
    },
  };
}
