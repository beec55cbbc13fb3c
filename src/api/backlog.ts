/** No more often than this, in milliseconds, and no more of the database's time than one part in so many. */
const everyMs = 1_000;
const restFactor = 20;
/** An older measurement says nothing, in milliseconds: nobody has sent anything meanwhile. */
const staleMs = 30_000;
/** What to tell whom while a backlog does not shrink, in seconds; and the longest that is ever told. */
const stuckSeconds = 60;
const longestSeconds = 300;

export interface Backlog {
  /**
   * Seconds until the least burdened of these destinations has fewer than `limit` waiting, as far as can be told; null when that is so
   * already. Never waits: a first look only starts the measuring.
   */
  secondsAbove(limit: number, destinations: readonly string[]): number | null;
}

interface Sample {
  at: number;
  waiting: ReadonlyMap<string, number>;
}

/** Watches how much waits at each destination, for as long as somebody asks. */
export function watchBacklog(
  measure: () => Promise<ReadonlyMap<string, number>>,
  now = () => performance.now(),
): Backlog {
  let last: Sample | undefined;
  let before: Sample | undefined;
  let nextAt = 0;

  async function look(): Promise<void> {
    nextAt = Number.POSITIVE_INFINITY;
    const began = now();
    try {
      const waiting = await measure();
      before = last;
      last = { at: now(), waiting };
    } catch {
      // A database that does not answer is felt, and told, elsewhere.
    }
    nextAt = now() + Math.max(everyMs, (now() - began) * restFactor);
  }

  function secondsFor(destination: string, limit: number, { at, waiting }: Sample): number | null {
    const n = waiting.get(destination) ?? 0;
    if (n < limit) return null;
    const earlier = before?.waiting.get(destination) ?? n;
    const perSecond = before ? ((earlier - n) * 1_000) / (at - before.at) : 0;
    if (perSecond <= 0) return stuckSeconds;
    return Math.min(Math.max(Math.ceil((n - limit + 1) / perSecond), 1), longestSeconds);
  }

  return {
    secondsAbove(limit, destinations) {
      if (now() >= nextAt) void look();
      const sample = last;
      if (!sample || now() - sample.at > staleMs) return null;
      const seconds = destinations.map((destination) => secondsFor(destination, limit, sample));
      return seconds.includes(null) ? null : Math.min(...seconds.filter((each) => each !== null));
    },
  };
}
