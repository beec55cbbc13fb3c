import { type Backoff, backoffMs, rateLimitMs } from './backoff.ts';
import type { Action, Fault, Outcome, Receipt } from './outcome.ts';
import type { DeliveryState } from './state.ts';

/** A look that keeps failing for passing reasons may be repeated this often past the horizon before we say `unknown`. */
const extraLooks = 5;

/** A delivery that its service has only refused for this long ends dead, in milliseconds: a day. */
const longestRefusalMs = 86_400_000;

/** A send that may have landed, until it is found or shown to be absent. */
export interface Suspect {
  /** When the earliest such send began: how far back a look has to reach. */
  since: Date;
  /** When the latest such send became ambiguous: the schedule of looks counts from here. */
  from: Date;
  looks: number;
  /** When a look past the horizon last found nothing. Only a fresh one allows another send. */
  absentAt: Date | null;
}

/** A delivery at the moment an outcome arrives, after any revision or cancellation that came while it was in flight. */
export interface Standing {
  /** Tries made for the desired revision, this one included; looks are not tries. */
  attempt: number;
  /** Those of them that a rate limit refused, that our side did not make, or that found nobody there while they probed: never spent. */
  uncounted: number;
  maxAttempts: number;
  desired: number;
  confirmed: number;
  /** The desired revision says nothing. */
  retracting: boolean;
  receipt: Receipt | null;
  suspect: Suspect | null;
  expiresAt: Date | null;
  cancelRequested: boolean;
  /** A send that is cured by repeating may have landed, so that taking it back has to reach it. */
  doubtful?: boolean;
  /** It has given up its topic's thread already. */
  unthreaded?: boolean;
  /** Since when a rate limit has been the answer to every attempt; null when it was not to the last one. */
  refusedSince?: Date | null;
}

/** The attempt whose outcome arrived. */
export interface Attempted {
  action: Action;
  /** The revision it tried to say. */
  revision: number;
  startedAt: Date;
  /** It was let through an open breaker, to try the destination for all that waits there. */
  probing?: boolean;
}

/** What the kind can do and the destination's policy wants. */
export interface Rules {
  /** Repeating this attempt's action under the same key changes nothing. */
  repeatable: boolean;
  /** Seconds after an ambiguous send at which to look; null where the service cannot be asked. */
  scheduleSeconds: readonly number[] | null;
  onUnknown: 'park' | 'resend';
  backoff: Backoff;
}

export interface Step {
  state: DeliveryState;
  attempt: number;
  uncounted: number;
  confirmed: number;
  receipt: Receipt | null;
  suspect: Suspect | null;
  /** When to go on; null exactly when the state is final. */
  dueAt: Date | null;
  lastError: Fault | null;
  /** Nothing that spends from the same budget may be sent before this; after a look, nothing looked for. */
  blockedUntil: Date | null;
  /** See `Standing`. */
  refusedSince: Date | null;
}

/**
 * The state machine: what becomes of a delivery when an attempt taught us `outcome`.
 * Pure; `now` is the database's clock and `random` yields [0, 1).
 */
export function next(
  standing: Standing,
  attempted: Attempted,
  outcome: Outcome,
  rules: Rules,
  now: Date,
  random: () => number,
): Step {
  const step: Step = {
    ...pick(standing),
    state: 'pending',
    dueAt: now,
    lastError: null,
    blockedUntil: null,
    refusedSince: null,
  };

  switch (outcome.is) {
    case 'success':
      return reached(standing, { ...step, confirmed: attempted.revision, receipt: outcome.receipt });
    case 'landed':
      // A revision that was never wanted is not ours: taken for the oldest text, it is edited where that is not enough.
      return reached(standing, {
        ...step,
        confirmed: outcome.revision <= standing.desired ? outcome.revision : 1,
        receipt: outcome.receipt,
      });
    case 'absent':
      return looked(null);
    case 'unclear':
      return looked(outcome.fault);
    case 'fault':
      // A look that could not even be made, as when a secret cannot be opened, says nothing about the send it was to find.
      return attempted.action === 'verify' ? looked(outcome.fault) : faulted(outcome.fault);
  }

  function faulted(fault: Fault): Step {
    const failed = { ...step, lastError: fault };
    switch (fault.class) {
      case 'permanent':
        // The thread is gone, not the place: better said beside it than not at all.
        if (fault.rootGone && !standing.unthreaded) return open(standing, failed, 'retrying', now);
        // What was refused is an older text; the newer one is a case of its own.
        if (attempted.revision < standing.desired && !fault.credential)
          return open(standing, { ...failed, attempt: 0, uncounted: 0 }, 'retrying', now);
        return end(failed, 'dead');
      case 'transient':
        if (fault.ours) return unmade(failed);
        // Nobody was there to refuse this message, so that it is not what ails the place: it must not die of having been first.
        if (attempted.probing && fault.status === null) return again({ ...failed, uncounted: standing.uncounted + 1 });
        return again(failed);
      case 'rate_limited': {
        const waiting = refused({ ...failed, uncounted: standing.uncounted + 1 }, fault);
        return waiting ? open(standing, waiting, 'retrying', now) : end(givenUp(failed, fault), 'dead');
      }
      case 'ambiguous':
        if (rules.repeatable) return again(failed);
        if (rules.scheduleSeconds) return verify(failed);
        return rules.onUnknown === 'resend' ? again(failed) : end(failed, 'unknown');
    }
  }

  function again(failed: Step): Step {
    const tries = standing.attempt - failed.uncounted;
    if (tries >= standing.maxAttempts) return end(failed, 'dead');
    const dueAt = later(now, backoffMs(rules.backoff, Math.max(tries, 1), random));
    return open(standing, { ...failed, dueAt }, 'retrying', now);
  }

  /** Our side could not make the attempt. It spends nothing, so that only its own deadline ends it. */
  function unmade(failed: Step): Step {
    const dueAt = later(now, backoffMs(rules.backoff, standing.uncounted + 1, random));
    return open(standing, { ...failed, uncounted: standing.uncounted + 1, dueAt }, 'retrying', now);
  }

  /** Waits for a rate limit to pass, with all that spends from it; null when it has refused for too long. */
  function refused(failed: Step, fault: Fault): Step | null {
    const refusedSince = standing.refusedSince ?? now;
    const refusedMs = now.getTime() - refusedSince.getTime();
    if (refusedMs >= longestRefusalMs) return null;
    const dueAt = later(now, rateLimitMs(fault.retryAfterMs, refusedMs, random));
    // The others are asked to wait for what the service said, and not for how often this one was refused.
    const blockedUntil =
      fault.limits === 'message'
        ? null
        : later(
            now,
            rateLimitMs(fault.retryAfterMs, 0, () => 0),
          );
    return { ...failed, refusedSince, dueAt, blockedUntil };
  }

  function givenUp(failed: Step, fault: Fault): Step {
    const message = `The service has answered nothing but refusals for a day; the last one: ${fault.message}`;
    return { ...failed, lastError: { ...fault, reason: 'refused_too_long', message } };
  }

  function verify(failed: Step): Step {
    const since = standing.suspect?.since ?? attempted.startedAt;
    const suspect = { since, from: now, looks: 0, absentAt: null };
    return { ...failed, state: 'verifying', suspect, dueAt: later(now, (rules.scheduleSeconds?.[0] ?? 0) * 1000) };
  }

  /** A look that did not find the message: nothing there (no fault), or no answer. */
  function looked(fault: Fault | null): Step {
    const schedule = rules.scheduleSeconds ?? [];
    const before = standing.suspect ?? { since: attempted.startedAt, from: now, looks: 0, absentAt: null };
    const made = fault?.class !== 'rate_limited' && !fault?.ours;
    const suspect = { ...before, looks: before.looks + (made ? 1 : 0) };
    const elapsedMs = now.getTime() - suspect.from.getTime();
    const nextSeconds = schedule.find((seconds) => seconds * 1000 > elapsedMs);
    const scheduled = nextSeconds === undefined ? now : later(suspect.from, nextSeconds * 1000);
    const looking = { ...step, state: 'verifying' as const, suspect, lastError: fault };

    if (fault?.class === 'permanent') return undecided(looking);
    if (fault?.class === 'rate_limited') {
      const waiting = refused(looking, fault);
      return waiting ? { ...waiting, dueAt: latest(scheduled, waiting.dueAt) } : undecided(givenUp(looking, fault));
    }
    if (nextSeconds !== undefined) return { ...looking, dueAt: scheduled };
    if (fault) {
      // A failure on our side is tried again, less and less often, until somebody mends it.
      if (!made) return { ...looking, dueAt: later(now, rateLimitMs(0, elapsedMs, random)) };
      if (suspect.looks >= schedule.length + extraLooks) return undecided(looking);
      return { ...looking, dueAt: later(now, backoffMs(rules.backoff, suspect.looks, random)) };
    }
    // Absent past the horizon: it never landed, and the fault that made it suspect was a passing one.
    const absent = { ...looking, suspect: { ...suspect, absentAt: now } };
    if (standing.attempt - standing.uncounted >= standing.maxAttempts) return end(absent, 'dead');
    return open(standing, absent, 'retrying', now);
  }

  /** It may have landed, and the service will not tell. */
  function undecided(looking: Step): Step {
    if (rules.onUnknown === 'park') return end(looking, 'unknown');
    return again({ ...looking, suspect: null });
  }
}

function pick({ attempt, uncounted, confirmed, receipt, suspect }: Standing) {
  return { attempt, uncounted, confirmed, receipt, suspect };
}

/** Some revision is there now: done when it is the desired one, otherwise on towards that. */
function reached(standing: Standing, step: Step): Step {
  const there = { ...step, suspect: null };
  if (step.confirmed >= standing.desired) return end(there, 'confirmed');
  return { ...there, state: 'pending', attempt: 0, uncounted: 0 };
}

/** Another send is wanted: unless it is no longer wanted, or would come too late. */
function open(standing: Standing, step: Step, state: 'retrying', now: Date): Step {
  const unsaid = standing.confirmed === 0 && !(standing.retracting && standing.doubtful);
  if (unsaid && standing.retracting) return end(step, 'superseded');
  // One that may have landed is not known to be unsaid: whoever cancelled it, or reads it late, has to be told so.
  if (unsaid && standing.cancelRequested) return end(step, standing.doubtful ? 'unknown' : 'cancelled');
  if (unsaid && standing.expiresAt && standing.expiresAt <= now)
    return end(step, standing.doubtful ? 'unknown' : 'expired');
  return { ...step, state };
}

function end(step: Step, state: DeliveryState): Step {
  return { ...step, state, dueAt: null };
}

function latest(one: Date, other: Date | null): Date {
  return other && other > one ? other : one;
}

function later(from: Date, ms: number): Date {
  return new Date(from.getTime() + ms);
}
