import { createHash } from 'node:crypto';

/** Callbacks go to addresses that come with broadcasts, so their lanes are a fixed few, and an address always meets the same one. */
const callbackLanes = 4;

/** A lane to work on, with what its destination's policy says of it. */
export interface LanePlan {
  lane: string;
  concurrency: number;
  rateLimit: { max: number; perMs: number } | null;
}

export interface PlannedDestination {
  name: string;
  concurrency: number;
  rateLimit: { max: number; perMs: number } | null;
}

/** What many quiet destinations share may do as much at once as a few of them would. */
const sharedConcurrency = 32;
const callbackConcurrency = 16;

/**
 * Which lane each destination has. Up to `most` destinations have one each; past that, those without a rate limit of their own
 * share by hash, because BullMQ's limiter counts a whole queue. The same destinations give the same plan in every process.
 */
export function planLanes(destinations: readonly PlannedDestination[], most: number) {
  const crowded = destinations.length + callbackLanes > most;
  const shared = Math.max(1, most - callbackLanes - destinations.filter(({ rateLimit }) => rateLimit).length);
  const laneOf = new Map<string, LanePlan>();
  const lanes = new Map<string, LanePlan>();
  for (const { name, concurrency, rateLimit } of destinations) {
    const plan =
      crowded && !rateLimit
        ? { lane: `shared-${bucket(name, shared)}`, concurrency: sharedConcurrency, rateLimit: null }
        : { lane: `to-${name}`, concurrency, rateLimit };
    laneOf.set(name, plan);
    lanes.set(plan.lane, plan);
  }
  for (let n = 0; n < callbackLanes; n++) {
    lanes.set(`callbacks-${n}`, { lane: `callbacks-${n}`, concurrency: callbackConcurrency, rateLimit: null });
  }
  return {
    lanes,
    /** The lane of a destination, a removed one included, or of a callback's host. */
    laneOf(destination: string): string {
      if (destination.startsWith('callback:')) return `callbacks-${bucket(destination, callbackLanes)}`;
      return laneOf.get(destination)?.lane ?? `to-${destination}`;
    },
  };
}

export type LanePlans = ReturnType<typeof planLanes>;

function bucket(name: string, buckets: number): number {
  return createHash('sha256').update(name).digest().readUInt32BE() % buckets;
}
