/** The time in milliseconds between the abort and the rejection: an SDK that obeys its signal rejects within it, with its own error. */
const graceMs = 250;

/**
 * The attempts that each signal interrupts. Each signal has one listener for all of them: adding or removing a listener takes longer
 * the more there are, and there may be thousands.
 */
const interrupted = new WeakMap<AbortSignal, Set<() => void>>();

function interruptedBy(signal: AbortSignal): Set<() => void> {
  const known = interrupted.get(signal);
  if (known) return known;
  const stops = new Set<() => void>();
  signal.addEventListener('abort', () => {
    for (const stop of stops) stop();
  });
  interrupted.set(signal, stops);
  return stops;
}

/** Aborts when the time is up or the outer signal does, and rejects a little later whatever the work may be doing. */
export function deadline(timeoutMs: number, outer: AbortSignal | undefined) {
  const controller = new AbortController();
  let grace: NodeJS.Timeout | undefined;
  let give: (reason: unknown) => void;
  const passed = new Promise<never>((_, reject) => {
    give = reject;
  });
  passed.catch(() => {});
  const stop = (reason: unknown) => {
    if (controller.signal.aborted) return;
    controller.abort(reason);
    grace = setTimeout(give, graceMs, reason);
  };
  const expired = () => stop(new DOMException(`No answer within ${timeoutMs} ms.`, 'TimeoutError'));
  const interrupt = () => stop(new DOMException('The attempt was interrupted.', 'AbortError'));
  const timer = setTimeout(expired, timeoutMs);
  if (outer?.aborted) interrupt();
  const others = outer && interruptedBy(outer);
  others?.add(interrupt);
  return {
    signal: controller.signal,
    passed,
    clear() {
      clearTimeout(timer);
      clearTimeout(grace);
      others?.delete(interrupt);
    },
  };
}
