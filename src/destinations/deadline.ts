/** What an SDK that ignores its signal gets on top of the deadline; an obedient one rejects within it, with its own error. */
const graceMs = 250;

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
  const interrupted = () => stop(new DOMException('The attempt was interrupted.', 'AbortError'));
  const timer = setTimeout(expired, timeoutMs);
  if (outer?.aborted) interrupted();
  outer?.addEventListener('abort', interrupted, { once: true });
  return {
    signal: controller.signal,
    passed,
    clear() {
      clearTimeout(timer);
      clearTimeout(grace);
      outer?.removeEventListener('abort', interrupted);
    },
  };
}
