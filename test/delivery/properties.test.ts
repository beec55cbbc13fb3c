import fc from 'fast-check';
import { expect, test } from 'vitest';
import { next, type Rules, type Standing, type Step, type Suspect } from '../../src/delivery/next.ts';
import type { Action, Fault, FaultClass, Outcome } from '../../src/delivery/outcome.ts';
import { type DeliveryState, isFinal } from '../../src/delivery/state.ts';
import { absent, blind, failed, first, noon, receipt, repeatable, success, unclear, verifiable } from './machine.ts';

/** As long as the ledger trusts a look that found nothing. */
const absenceHoldsMs = 10_000;
const horizonMs = (verifiable.scheduleSeconds?.at(-1) ?? 0) * 1_000;

/** What the world may do to a delivery between two attempts, and how the next attempt ends. */
interface Turn {
  event: 'nothing' | 'revise' | 'retract' | 'cancel';
  /** How long after it was due the attempt is made, in milliseconds. */
  lateMs: number;
  sent: 'success' | FaultClass;
  looked: 'landed' | 'absent' | FaultClass;
  retryAfterMs: number | null;
  dice: number;
}

const faultClass = fc.constantFrom<FaultClass[]>('transient', 'rate_limited', 'permanent', 'ambiguous');
// Permanent faults are rare among the others, or few stories would be longer than two turns.
const turn: fc.Arbitrary<Turn> = fc.record({
  event: fc.oneof(
    { weight: 8, arbitrary: fc.constant('nothing' as const) },
    { weight: 2, arbitrary: fc.constantFrom('revise' as const, 'retract' as const, 'cancel' as const) },
  ),
  lateMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 20_000 }), fc.integer({ min: 0, max: 400_000 })),
  sent: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom('ambiguous' as const, 'transient' as const, 'rate_limited' as const) },
    { weight: 2, arbitrary: fc.constant('success' as const) },
    { weight: 1, arbitrary: faultClass },
  ),
  looked: fc.oneof(
    { weight: 5, arbitrary: fc.constant('absent' as const) },
    { weight: 1, arbitrary: fc.constant('landed' as const) },
    { weight: 4, arbitrary: faultClass },
  ),
  retryAfterMs: fc.option(fc.integer({ min: 0, max: 100_000 })),
  dice: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
});

const story = fc.record({
  rules: fc.constantFrom<Rules[]>(
    repeatable,
    verifiable,
    blind,
    { ...blind, onUnknown: 'resend' },
    { ...verifiable, onUnknown: 'resend' },
  ),
  maxAttempts: fc.integer({ min: 1, max: 5 }),
  expiresAfterMs: fc.option(fc.integer({ min: 0, max: 600_000 })),
  turns: fc.array(turn, { maxLength: 40 }),
});

interface Told {
  now: Date;
  action: Action;
  outcome: Outcome;
  before: Standing;
  step: Step;
}

/** Tells a story: attempts are chosen as the ledger chooses them, and everything that happened is handed back. */
function tell({ rules, maxAttempts, expiresAfterMs, turns }: typeof story extends fc.Arbitrary<infer T> ? T : never) {
  let standing: Standing = { ...first, attempt: 0, maxAttempts };
  if (expiresAfterMs !== null) standing.expiresAt = new Date(noon.getTime() + expiresAfterMs);
  let state: DeliveryState = 'pending';
  let now = noon;
  const told: Told[] = [];
  for (const { event, lateMs, sent, looked, retryAfterMs, dice } of turns) {
    if (isFinal(state)) break;
    const startedAt = new Date(now.getTime() + lateMs);
    const looksFirst = standing.suspect !== null && !holds(standing.suspect, startedAt);
    const action = looksFirst
      ? 'verify'
      : standing.confirmed === 0
        ? 'deliver'
        : standing.retracting
          ? 'retract'
          : 'revise';
    const revision = standing.desired;
    standing = { ...standing, attempt: standing.attempt + (looksFirst ? 0 : 1) };
    // While the attempt is in flight, people press buttons.
    if (event === 'cancel' && standing.confirmed === 0) standing.cancelRequested = true;
    if (event === 'retract' && !standing.retracting)
      standing = { ...standing, desired: revision + 1, retracting: true };
    if (event === 'revise' && !standing.retracting) standing = { ...standing, desired: revision + 1 };
    const itsRules = action === 'revise' || action === 'retract' ? { ...rules, repeatable: true } : rules;
    const outcome = looksFirst ? lookOutcome(looked, retryAfterMs) : sendOutcome(sent, retryAfterMs);
    const ended = new Date(startedAt.getTime() + 50);
    const step = next(standing, { action, revision, startedAt }, outcome, itsRules, ended, () => dice);
    told.push({ now: ended, action, outcome, before: standing, step });
    const { attempt, uncounted, confirmed, receipt, suspect } = step;
    standing = { ...standing, attempt, uncounted, confirmed, receipt, suspect };
    state = step.state;
    now = step.dueAt ?? ended;
  }
  return told;
}

function holds({ absentAt }: Suspect, at: Date): boolean {
  return absentAt !== null && absentAt.getTime() >= at.getTime() - absenceHoldsMs;
}

function sendOutcome(sent: Turn['sent'], retryAfterMs: number | null): Outcome {
  return sent === 'success' ? success : failed(sent, { retryAfterMs });
}

function lookOutcome(looked: Turn['looked'], retryAfterMs: number | null): Outcome {
  if (looked === 'absent') return absent;
  return looked === 'landed' ? { is: 'landed', receipt, revision: 1 } : unclear(looked, { retryAfterMs });
}

function faultOf(outcome: Outcome): Fault | null {
  return outcome.is === 'fault' || outcome.is === 'unclear' ? outcome.fault : null;
}

function always(claim: (told: Told[], rules: Rules) => void): void {
  fc.assert(
    fc.property(story, (told) => claim(tell(told), told.rules)),
    { seed: 7, numRuns: 2_000 },
  );
}

test('the stories are worth telling: every state and every action occurs in them', () => {
  const seen = new Set<string>();
  always((told) => {
    for (const { action, step } of told) seen.add(action).add(step.state);
  });
  expect([...seen].sort()).toEqual(
    [
      ...['deliver', 'verify', 'revise', 'retract'],
      ...['pending', 'retrying', 'verifying'],
      ...['confirmed', 'dead', 'unknown', 'expired', 'cancelled', 'superseded'],
    ].sort(),
  );
});

test('a final state has no due time, and an open one has one that has not passed', () => {
  always((told) => {
    for (const { step, now } of told) {
      expect(step.dueAt === null).toBe(isFinal(step.state));
      if (step.dueAt) expect(step.dueAt.getTime()).toBeGreaterThanOrEqual(now.getTime());
    }
  });
});

test('confirmed never exceeds desired, never decreases, and always has its receipt', () => {
  always((told) => {
    for (const { before, step } of told) {
      expect(step.confirmed).toBeLessThanOrEqual(before.desired);
      expect(step.confirmed).toBeGreaterThanOrEqual(before.confirmed);
      expect(step.receipt !== null).toBe(step.confirmed > 0);
      expect(step.state === 'confirmed').toBe(step.confirmed === before.desired);
    }
  });
});

test('the attempts that count never exceed those that are allowed', () => {
  always((told) => {
    for (const { before, step } of told) {
      expect(step.uncounted).toBeGreaterThanOrEqual(0);
      expect(before.attempt - before.uncounted).toBeLessThanOrEqual(before.maxAttempts);
      expect(step.attempt).toBeGreaterThanOrEqual(step.uncounted);
    }
  });
});

test('where the service can be asked, no send follows an ambiguous one until a look past the horizon found nothing', () => {
  always((told, rules) => {
    if (!rules.scheduleSeconds || rules.onUnknown === 'resend') return;
    let doubtSince: Date | null = null;
    for (const { action, outcome, now } of told) {
      if (action === 'deliver') expect(doubtSince).toBeNull();
      if (action === 'deliver' && faultOf(outcome)?.class === 'ambiguous') doubtSince = now;
      if (outcome.is === 'landed') doubtSince = null;
      if (outcome.is === 'absent' && doubtSince && now.getTime() - doubtSince.getTime() >= horizonMs) doubtSince = null;
    }
  });
});

test('the ends that say it did not arrive are only reached when it cannot have', () => {
  always((told, rules) => {
    // Kinds that ignore repetitions, and destinations that opted into sending again, take an ambiguous send for a failed one.
    if (rules.repeatable || rules.onUnknown === 'resend') return;
    let inDoubt = false;
    for (const { action, outcome, step } of told) {
      if (action === 'deliver' && faultOf(outcome)?.class === 'ambiguous') inDoubt = true;
      if (outcome.is === 'landed' || step.suspect?.absentAt) inDoubt = false;
      if (['dead', 'expired', 'cancelled', 'superseded'].includes(step.state)) expect(inDoubt).toBe(false);
      if (step.state === 'unknown') expect(inDoubt).toBe(true);
    }
  });
});

test('cancelled, expired and superseded mean that nothing was said, and that it was not to be', () => {
  always((told) => {
    for (const { before, step, now } of told) {
      const unwanted = {
        cancelled: before.cancelRequested,
        expired: before.expiresAt !== null && before.expiresAt <= now,
        superseded: before.retracting,
      };
      const wanted = step.state in unwanted ? !unwanted[step.state as keyof typeof unwanted] : false;
      expect(wanted).toBe(false);
      if (step.state in unwanted) expect(step.confirmed).toBe(0);
    }
  });
});

test('a rate limit holds the budget up, and the delivery at least as long; nothing else does', () => {
  always((told) => {
    for (const { outcome, step } of told) {
      const limited = faultOf(outcome)?.class === 'rate_limited' && step.lastError?.reason !== 'refused_too_long';
      expect(step.blockedUntil !== null).toBe(limited);
      if (step.blockedUntil && step.dueAt)
        expect(step.dueAt.getTime()).toBeGreaterThanOrEqual(step.blockedUntil.getTime());
    }
  });
});

test('a delivery whose service comes back to its senses ends within four attempts, wherever the story left it', () => {
  const good = { event: 'nothing', lateMs: 0, sent: 'success', looked: 'landed', retryAfterMs: null, dice: 0 } as const;
  fc.assert(
    fc.property(story, (any) => {
      const told = tell({ ...any, turns: [...any.turns, good, good, good, good] });
      expect(isFinal(told.at(-1)?.step.state ?? 'pending')).toBe(true);
    }),
    { seed: 7, numRuns: 2_000 },
  );
});
