import { createHash } from 'node:crypto';

/** Callbacks go to addresses that come with broadcasts, so their lanes are a fixed few, and an address always meets the same one. */
const callbackLanes = 4;

/** So many jobs may be started in so many milliseconds. */
export interface Pace {
  max: number;
  perMs: number;
}

/** A lane to work on, with what its destinations' policies say of it. */
export interface LanePlan {
  lane: string;
  concurrency: number;
  pace: Pace | null;
  /** Several destinations may be in it: what one of them brings upon itself must not stop the lane. */
  shared: boolean;
}

export interface PlannedDestination {
  name: string;
  concurrency: number;
  rateLimit: Pace | null;
}

/** What many quiet destinations share may do as much at once as a few of them would. */
const sharedConcurrency = 32;
const callbackConcurrency = 16;
/** Of a shared lane's places one callback receiver may hold so many, in each process. */
const placesOfACallback = 4;

/**
 * Which lane each destination has: one of its own, up to `most` lanes in all. Past that, those without a rate limit share by hash,
 * because BullMQ's limiter counts a whole lane; and where those with a limit alone are too many, they share too, half of the lanes,
 * each at the pace of its slowest: too slow, rather than too fast. The same destinations give the same plan in every process.
 */
export function planLanes(destinations: readonly PlannedDestination[], most: number) {
  const room = Math.max(most - callbackLanes, 2);
  const limited = destinations.filter(({ rateLimit }) => rateLimit).length;
  const half = Math.floor(room / 2);
  const isCrowded = destinations.length > room;
  // One lane at the least is for those without a limit.
  const sharesLimits = limited > room - 1 && isCrowded;
  const sharedLanes = sharesLimits ? room - half : Math.max(1, room - limited);

  const laneOf = new Map<string, LanePlan>();
  const lanes = new Map<string, LanePlan>();
  const concurrencies = new Map<string, number>();
  for (const { name, concurrency, rateLimit } of destinations) {
    const pace = rateLimit && evenly(rateLimit);
    let plan: LanePlan;
    if (!isCrowded || (pace && !sharesLimits)) plan = { lane: `to-${name}`, concurrency, pace, shared: false };
    else if (!pace) {
      const lane = `shared-${bucket(name, sharedLanes)}`;
      plan = lanes.get(lane) ?? { lane, concurrency: sharedConcurrency, pace: null, shared: true };
    } else {
      const lane = `paced-${bucket(name, half)}`;
      const before = lanes.get(lane);
      plan = { lane, concurrency: sharedConcurrency, pace: slower(pace, before?.pace ?? null), shared: true };
    }
    laneOf.set(name, plan);
    lanes.set(plan.lane, plan);
    concurrencies.set(name, concurrency);
  }
  for (let n = 0; n < callbackLanes; n++) {
    const lane = `callbacks-${n}`;
    lanes.set(lane, { lane, concurrency: callbackConcurrency, pace: null, shared: true });
  }
  const nameOf = (destination: string) => {
    if (destination.startsWith('callback:')) return `callbacks-${bucket(destination, callbackLanes)}`;
    return laneOf.get(destination)?.lane ?? `to-${destination}`;
  };
  return {
    lanes,
    /** The lane of a destination, a removed one included, or of a callback's host. */
    laneOf: nameOf,
    isShared: (destination: string) => lanes.get(nameOf(destination))?.shared ?? false,
    /** How many of a shared lane's places a destination may hold at once, in each process. */
    placesOf: (destination: string) => concurrencies.get(destination) ?? placesOfACallback,
  };
}

export type LanePlans = ReturnType<typeof planLanes>;

/** Steps finer than this cost more wake-ups than they smooth, in milliseconds. */
const finestStepMs = 50;
/** More steps than these in one span smooth nothing any more. */
const mostSteps = 600;

/**
 * A rate limit as even steps. BullMQ counts in windows that open with their first job, so that a burst at the end of one and another
 * at the start of the next would be twice the limit within one span. In steps, no span of `perMs` sees more than `max`: one job
 * a step, or, where steps would be too fine, a few. A span may then touch one step more than it holds, and that one is not used: of
 * all such divisions the one that wastes least.
 */
export function evenly({ max, perMs }: Pace): Pace {
  if (perMs / max >= finestStepMs) return { max: 1, perMs: Math.ceil(perMs / max) };
  const most = Math.min(Math.floor(perMs / finestStepMs), max - 1, mostSteps);
  let best = 0;
  for (let steps = 1; steps <= most; steps++) if (jobs(steps) >= jobs(best)) best = steps;
  return best === 0 ? { max, perMs } : { max: jobs(best) / best, perMs: Math.ceil(perMs / best) };

  function jobs(steps: number): number {
    return Math.floor(max / (steps + 1)) * steps;
  }
}

function slower(a: Pace, b: Pace | null): Pace {
  return b && b.max / b.perMs < a.max / a.perMs ? b : a;
}

function bucket(name: string, buckets: number): number {
  return createHash('sha256').update(name).digest().readUInt32BE() % buckets;
}
