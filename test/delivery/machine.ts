import type { Attempted, Rules, Standing, Step } from '../../src/delivery/next.ts';
import { next } from '../../src/delivery/next.ts';
import type { Fault, FaultClass, Outcome, Receipt } from '../../src/delivery/outcome.ts';

/** Noon on a day without meaning: the machine knows no other clock than the one it is given. */
export const noon = new Date('2026-03-02T12:00:00.000Z');

export function at(seconds: number, from = noon): Date {
  return new Date(from.getTime() + seconds * 1000);
}

export const receipt: Receipt = { at: '2026-03-02T12:00:00.000Z', url: 'https://chat.example.com/1' };

export function fault(faultClass: FaultClass, more: Partial<Fault> = {}): Fault {
  return { class: faultClass, reason: 'test', message: 'A fault.', status: null, retryAfterMs: null, ...more };
}

export const failed = (faultClass: FaultClass, more: Partial<Fault> = {}): Outcome => ({
  is: 'fault',
  fault: fault(faultClass, more),
});
export const unclear = (faultClass: FaultClass, more: Partial<Fault> = {}): Outcome => ({
  is: 'unclear',
  fault: fault(faultClass, more),
});
export const success: Outcome = { is: 'success', receipt };
export const absent: Outcome = { is: 'absent' };

/** A kind whose service ignores repetitions. */
export const repeatable: Rules = {
  repeatable: true,
  scheduleSeconds: null,
  onUnknown: 'park',
  backoff: { baseMs: 1_000, maxMs: 60_000 },
};
/** A kind whose service can be asked; what it does not have after two minutes it will not have. */
export const verifiable: Rules = { ...repeatable, repeatable: false, scheduleSeconds: [5, 30, 120] };
/** A kind whose service neither ignores repetitions nor can be asked. */
export const blind: Rules = { ...repeatable, repeatable: false };

/** A delivery at its first try, as seen when the outcome arrives. */
export const first: Standing = {
  attempt: 1,
  uncounted: 0,
  maxAttempts: 3,
  desired: 1,
  confirmed: 0,
  retracting: false,
  receipt: null,
  suspect: null,
  expiresAt: null,
  cancelRequested: false,
};

export const delivering: Attempted = { action: 'deliver', revision: 1, startedAt: at(-1) };
export const looking: Attempted = { action: 'verify', revision: 1, startedAt: at(-1) };

/** The step at noon, with the jitter's dice fixed to one half unless told otherwise. */
export function step(
  outcome: Outcome,
  {
    standing = {},
    attempted = {},
    rules = repeatable,
    now = noon,
    random = 0.5,
  }: {
    standing?: Partial<Standing>;
    attempted?: Partial<Attempted>;
    rules?: Rules;
    now?: Date;
    random?: number;
  } = {},
): Step {
  return next({ ...first, ...standing }, { ...delivering, ...attempted }, outcome, rules, now, () => random);
}
