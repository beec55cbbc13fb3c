import { type Severity, severities } from '../message.ts';
import type { Backlog } from './backlog.ts';
import { Problem } from './problems.ts';

/** What is shed, `info` first. Each more important severity gets twice as much of everything as the last. */
export interface Limits {
  /**
   * Requests under way. A thousand take the ledger a tenth of a second or two; a queue much longer than that only makes everyone
   * time out.
   */
  underWay: number;
  /** How long recording may take, in milliseconds, before less is let in. */
  patienceMs: number;
  /** Deliveries that are due at a destination and wait for their turn. */
  backlog: number;
}

/** So many are let in however slow the ledger is: they are how its recovery is noticed. */
const scouts = 16;
/** What recording took this long ago says nothing of now, in milliseconds. */
const staleMs = 10_000;
const longestRetrySeconds = 300;
/** Destinations that an answer names; of more it tells the number. */
const mostNamed = 5;

export interface Admission {
  /**
   * Runs the work, or throws a 503 when too much is under way for this severity, or the ledger is too slow for it. What the work waits
   * for through `untimed` says nothing of the ledger.
   */
  run<T>(severity: Severity, work: (untimed: <P>(part: Promise<P>) => Promise<P>) => Promise<T>): Promise<T>;
  /** Throws a 503 when too much waits already at every one of these destinations: one that is behind harms no other. */
  weigh(severity: Severity, destinations: readonly string[]): void;
}

/** Keeps the door open for what matters: `info` is shed first, `critical` last. */
export function createAdmission(
  { underWay: room, patienceMs, backlog: most }: Limits,
  backlog: Backlog,
  now = () => performance.now(),
): Admission {
  // In the order of their beginning, or about, so that the first is the oldest.
  const begun = new Set<{ at: number }>();
  let untimed = 0;
  let recent = { at: Number.NEGATIVE_INFINITY, ms: 0 };

  /** How long recording takes: lately, or, where nothing comes back at all, so far. */
  function slownessMs(): number {
    const [oldest] = begun;
    const lately = now() - recent.at < staleMs ? recent.ms : 0;
    return Math.max(lately, oldest ? now() - oldest.at : 0);
  }

  return {
    async run(severity, work) {
      const share = shareOf(severity);
      const slowMs = slownessMs();
      if (begun.size + untimed >= room * share) throw overloaded(severity, 'Too much is under way', slowMs / 1_000);
      if (slowMs > patienceMs * share && begun.size >= scouts) {
        throw overloaded(severity, 'The ledger is too slow just now', slowMs / 1_000);
      }
      const one = { at: now() };
      begun.add(one);
      try {
        return await work(async (part) => {
          const left = now();
          begun.delete(one);
          untimed += 1;
          try {
            return await part;
          } finally {
            untimed -= 1;
            one.at += now() - left;
            begun.add(one);
          }
        });
      } finally {
        begun.delete(one);
        const ms = now() - one.at;
        recent = { at: now(), ms: now() - recent.at < staleMs ? recent.ms * 0.8 + ms * 0.2 : ms };
      }
    },

    weigh(severity, destinations) {
      const seconds = backlog.secondsAbove(most * shareOf(severity), destinations);
      if (seconds !== null) throw overloaded(severity, `Too much waits at ${named(destinations)}`, seconds);
    },
  };
}

function shareOf(severity: Severity): number {
  return 2 ** (severities.length - 1 - severities.indexOf(severity));
}

function named(destinations: readonly string[]): string {
  const left = destinations.length - mostNamed;
  return destinations.slice(0, mostNamed).join(', ') + (left > 0 ? ` and ${left} more` : '');
}

function overloaded(severity: Severity, why: string, seconds: number): Problem {
  return new Problem(
    503,
    'overloaded',
    `${why} to take on more of severity ${severity}. Nothing was recorded: repeat after Retry-After seconds.`,
    {
      headers: { 'retry-after': String(Math.min(Math.max(Math.ceil(seconds), 2), longestRetrySeconds)) },
    },
  );
}
