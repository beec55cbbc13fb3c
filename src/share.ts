/**
 * Lets any number of callers share one run: whoever asks while it is under way gets its answer, and so does whoever asks within
 * `keepMs` after its end. `rest` makes a long run rare: its answer is kept for so many times as long as it took. A failure is
 * everybody's who waits, and is not kept.
 */
export function share<T>(
  run: () => Promise<T>,
  { keepMs = 0, rest = 0, now = () => performance.now() }: { keepMs?: number; rest?: number; now?: () => number } = {},
): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  let kept: { answer: T; until: number } | undefined;

  async function once(): Promise<T> {
    const began = now();
    try {
      const answer = await run();
      kept = { answer, until: now() + Math.max(keepMs, (now() - began) * rest) };
      return answer;
    } finally {
      underWay = undefined;
    }
  }

  return () => {
    if (kept && now() < kept.until) return Promise.resolve(kept.answer);
    kept = undefined;
    underWay ??= once();
    return underWay;
  };
}
