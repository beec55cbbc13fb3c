import { type Claimed, claimDue, type Found, type Lane } from '../src/ledger/claim.ts';
import { isAboutItem } from '../src/ledger/database.ts';
import { type Instant, instant } from './attempt.ts';
import { isCallback, type LaneBook, type LaneLimits } from './lanes.ts';
import type { Parts } from './parts.ts';
import { createTurns } from './turns.ts';

/**
 * How long a drainer keeps its job when nothing is due, in milliseconds. A steady load then needs no new job for each delivery, and no
 * time to start one.
 */
const lingerMs = 1_000;
/**
 * Two claims begin at least so many milliseconds apart: places that become free meanwhile share the second. Without this, two workers
 * under a burst spend about 50 % more processor time on a delivery.
 */
const claimGapMs = 4;
/** How long to wait before claiming again after the ledger could not be asked, in milliseconds. */
const outageMs = 1_000;
/** How long the queue may take to say that a job has left it, in milliseconds. One that it has lost it never speaks of. */
const leavingMs = 2_000;
/** Attempts at callback hosts that one process has in flight, over all of them: the addresses come with broadcasts. */
const callbackPlaces = 64;
/** Attempts that begin in one turn of the event loop. A long message takes a millisecond and more to be put into its request. */
const startsPerTurn = 8;
/**
 * The most that one statement claims, and at how many destinations. A storm is then claimed in parts: none waits for the answer about
 * all, and what has been claimed is sent before its lease has grown old. The last destination may exceed it by its own places.
 */
const most = { lanes: 100, places: 400 };

export interface Drains {
  /** Follows a destination's job: sends what is due there, and resolves once nothing has been due for a while. */
  drain(destination: string): Promise<void>;
  /** The job of a destination has left the queue. Answers whether something became due in that very moment. */
  finished(destination: string): boolean;
  /** Something may be due there. Answers false when this process does not have the destination's job. */
  nudge(destination: string): boolean;
  /** Claims nothing more, and resolves when the attempts in flight have ended. */
  stop(): Promise<void>;
}

interface Drainer {
  destination: string;
  limits: LaneLimits;
  inFlight: number;
  /** A claim for it is under way. */
  asking: boolean;
  /** Other processes have taken places there, so that more may be due than the last claim could take. */
  crowded: boolean;
  /** Its rate limit lets nothing begin before, by the steady clock in milliseconds. */
  notBefore: number;
  linger: NodeJS.Timeout | undefined;
  /** When its job was given back to the queue, which has not said so yet, by the steady clock in milliseconds. */
  leftAt: number | null;
  done: Promise<void>;
  finish(): void;
}

/**
 * The drainers of one process. They share their claims: one statement takes what is due at all destinations with free places.
 *
 * @param make makes one attempt, and resolves when its outcome is settled: in how many milliseconds the delivery goes on, null if not
 * @param onDue told when a delivery that was attempted here is due again
 */
export function createDrains(
  { db, log }: Pick<Parts, 'db' | 'log'>,
  book: LaneBook,
  make: (claimed: Claimed, askedAt: Instant) => Promise<number | null>,
  onDue: (destination: string) => void,
): Drains {
  const drainers = new Map<string, Drainer>();
  /** Those at whose destination something may be due. */
  const dirty = new Set<Drainer>();
  const timers = new Set<NodeJS.Timeout>();
  /** Attempts under way, also those whose drainer has gone. */
  const attempts = new Set<Promise<void>>();
  const turn = createTurns(startsPerTurn);
  /** Callbacks in flight, and those that the claim under way may add. */
  let callbacks = 0;
  /** Resolves when the claim under way, if any, has been followed. */
  let claiming: Promise<void> | null = null;
  /** When the last claim began, by the steady clock in milliseconds. */
  let claimedAt = Number.NEGATIVE_INFINITY;
  let planned = false;
  let stopped = false;

  function begin(destination: string, limits: LaneLimits): Drainer {
    let finish = () => {};
    const done = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const fresh = { inFlight: 0, asking: false, crowded: false, notBefore: 0, linger: undefined, leftAt: null };
    const drainer: Drainer = { destination, limits, ...fresh, done, finish };
    drainers.set(destination, drainer);
    dirty.add(drainer);
    return drainer;
  }

  function placesOf(drainer: Drainer): number {
    const { destination, inFlight, notBefore } = drainer;
    // They may have changed while its places were taken.
    drainer.limits = book.known(destination) ?? drainer.limits;
    const { limits } = drainer;
    if (notBefore > performance.now()) return 0;
    const free = limits.concurrency - inFlight;
    if (isCallback(destination)) return Math.min(free, callbackPlaces - callbacks);
    return limits.pace ? Math.min(free, limits.pace.max) : free;
  }

  /** Claims soon: what is asked for in the same moment shares one statement. */
  function plan(): void {
    if (planned || claiming || stopped || !isAsking()) return;
    planned = true;
    const wait = claimedAt + claimGapMs - performance.now();
    const start = (work: () => void) => (wait > 0 ? setTimeout(work, wait) : setImmediate(work));
    start(() => {
      planned = false;
      claimedAt = performance.now();
      claiming = claim().finally(() => {
        claiming = null;
        plan();
      });
    });
  }

  function isAsking(): boolean {
    for (const drainer of dirty) if (drainer.leftAt === null && placesOf(drainer) > 0) return true;
    return false;
  }

  async function claim(): Promise<void> {
    const lanes: Lane[] = [];
    let asked = 0;
    for (const drainer of dirty) {
      if (drainer.leftAt !== null) continue;
      const places = placesOf(drainer);
      if (places <= 0) continue;
      dirty.delete(drainer);
      drainer.asking = true;
      const { concurrency, pace } = drainer.limits;
      lanes.push({ destination: drainer.destination, places, concurrency, stepMs: pace?.perMs ?? null });
      if (isCallback(drainer.destination)) callbacks += places;
      asked += places;
      if (lanes.length >= most.lanes || asked >= most.places) break;
    }
    if (!stopped) await ask(lanes);
    for (const { destination, places } of lanes) {
      if (isCallback(destination)) callbacks -= places;
      const drainer = drainers.get(destination);
      if (!drainer) continue;
      drainer.asking = false;
      rest(drainer);
    }
  }

  async function ask(lanes: readonly Lane[]): Promise<void> {
    if (lanes.length === 0) return;
    const askedAt = instant();
    let found: Found;
    try {
      found = await claimDue(db, lanes);
    } catch (error) {
      if (lanes.length > 1 && isAboutItem(error)) {
        // One destination with unreadable values must not stop the others.
        const half = Math.ceil(lanes.length / 2);
        await ask(lanes.slice(0, half));
        return ask(lanes.slice(half));
      }
      const destinations = lanes.slice(0, 10).map(({ destination }) => destination);
      log.error({ destinations, err: error }, 'what is due could not be claimed; trying again soon');
      for (const { destination } of lanes) soon(outageMs, () => nudge(destination));
      return;
    }
    const claimed = Map.groupBy(found.claimed, ({ destination }) => destination);
    for (const lane of lanes) {
      const { destination } = lane;
      const drainer = drainers.get(destination);
      if (drainer) drainer.crowded = found.crowded.has(destination);
      follow(lane, claimed.get(destination) ?? [], found.passed.get(destination) ?? 0, askedAt);
    }
  }

  function follow(
    { destination, places, stepMs }: Lane,
    claimed: readonly Claimed[],
    passed: number,
    askedAt: Instant,
  ): void {
    const drainer = drainers.get(destination);
    for (const one of claimed) {
      const under = attempt(destination, drainer, one, askedAt).finally(() => attempts.delete(under));
      attempts.add(under);
    }
    if (!drainer) return;
    if (stepMs !== null && claimed.length > 0) {
      drainer.notBefore = performance.now() + stepMs;
      // Timers may fire a moment early.
      soon(stepMs + 2, () => nudge(destination));
    }
    // A destination that gave as much as it was asked for has more. What was held stood before what may go.
    if (claimed.length + passed >= places) dirty.add(drainer);
  }

  async function attempt(
    destination: string,
    drainer: Drainer | undefined,
    claimed: Claimed,
    askedAt: Instant,
  ): Promise<void> {
    const counts = isCallback(destination) ? 1 : 0;
    callbacks += counts;
    if (drainer) drainer.inFlight += 1;
    let waitMs: number | null = outageMs;
    try {
      await turn();
      waitMs = await make(claimed, askedAt);
    } catch (error) {
      log.error({ delivery: claimed.id, err: error }, 'an attempt could not be settled');
    }
    callbacks -= counts;
    if (drainer) {
      drainer.inFlight -= 1;
      // This process may be the only one that knows of the free place.
      if (drainer.crowded) dirty.add(drainer);
    }
    if (waitMs !== null) soon(waitMs, () => onDue(destination));
    if (drainer) rest(drainer);
    // A place for callbacks serves any of their destinations.
    if (counts > 0 || (drainer && dirty.has(drainer))) plan();
  }

  /** With nothing to do, a drainer gives its job back after a while. */
  function rest(drainer: Drainer): void {
    clearTimeout(drainer.linger);
    // It must not give its job back while its claim is under way.
    if (drainer.inFlight > 0 || drainer.asking || drainer.leftAt !== null) return;
    if (stopped) leave(drainer);
    else if (!dirty.has(drainer)) drainer.linger = setTimeout(() => leave(drainer), lingerMs);
  }

  function leave(drainer: Drainer): void {
    clearTimeout(drainer.linger);
    drainer.leftAt = performance.now();
    dirty.delete(drainer);
    drainer.finish();
  }

  function soon(ms: number, work: () => void): void {
    if (stopped) return;
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timers.add(timer);
  }

  function nudge(destination: string): boolean {
    const drainer = drainers.get(destination);
    if (!drainer) return false;
    if (drainer.leftAt !== null && performance.now() - drainer.leftAt > leavingMs) {
      drainers.delete(destination);
      dirty.delete(drainer);
      return false;
    }
    dirty.add(drainer);
    clearTimeout(drainer.linger);
    // A busy drainer plans nothing: plan() looks at all drainers to find one that may ask.
    if (drainer.leftAt === null && placesOf(drainer) > 0) plan();
    return true;
  }

  return {
    async drain(destination) {
      const limits = await book.limitsOf(destination);
      // The queue may have been emptied, and have a second job for what is drained here.
      const known = drainers.get(destination);
      const drainer = known?.leftAt === null ? known : begin(destination, limits);
      if (known && known !== drainer) dirty.delete(known);
      if (stopped) leave(drainer);
      else plan();
      await drainer.done;
    },
    finished(destination) {
      const drainer = drainers.get(destination);
      if (!drainer || drainer.leftAt === null) return false;
      drainers.delete(destination);
      return dirty.delete(drainer);
    },
    nudge,
    async stop() {
      stopped = true;
      for (const timer of timers) clearTimeout(timer);
      await claiming;
      const all = [...drainers.values()];
      for (const drainer of all) rest(drainer);
      await Promise.all(all.map(({ done }) => done));
      await Promise.all(attempts);
    },
  };
}
