import { describe, expect, test } from 'vitest';
import type { Standing } from '../../src/delivery/next.ts';
import type { FaultClass } from '../../src/delivery/outcome.ts';
import {
  absent,
  at,
  blind,
  failed,
  fault,
  looking,
  noon,
  receipt,
  repeatable,
  step,
  success,
  unclear,
  verifiable,
} from './machine.ts';

const resend = { ...blind, onUnknown: 'resend' as const };
const verifiableResend = { ...verifiable, onUnknown: 'resend' as const };

/** A send that became ambiguous so many seconds before noon. */
const suspected = (seconds: number, looks = 0) => ({
  suspect: { since: at(-seconds - 1), from: at(-seconds), looks, absentAt: null },
});
const landed = (revision: number) => ({ is: 'landed' as const, receipt, revision });

describe('a success', () => {
  test('confirms the delivery when the desired revision was said', () => {
    expect(step(success)).toMatchObject({ state: 'confirmed', confirmed: 1, receipt, dueAt: null, lastError: null });
  });

  test('goes on at once, with all attempts before it, when a newer revision came while it was in flight', () => {
    expect(step(success, { standing: { desired: 3, attempt: 2, uncounted: 1 } })).toMatchObject({
      state: 'pending',
      confirmed: 1,
      receipt,
      attempt: 0,
      uncounted: 0,
      dueAt: noon,
    });
  });

  test('counts even though the cancellation, the retraction or the deadline came while it was in flight', () => {
    expect(step(success, { standing: { cancelRequested: true } }).state).toBe('confirmed');
    expect(step(success, { standing: { expiresAt: at(-1) } }).state).toBe('confirmed');
    expect(step(success, { standing: { retracting: true, desired: 2 } }).state).toBe('pending');
  });

  test('clears what was suspected before', () => {
    expect(step(success, { standing: suspected(500), rules: verifiable }).suspect).toBeNull();
  });
});

describe('a permanent fault', () => {
  test.each([
    ['repeatable', repeatable],
    ['verifiable', verifiable],
    ['blind', blind],
    ['resending', resend],
  ])('ends a %s delivery dead at its first try', (_, rules) => {
    expect(step(failed('permanent'), { rules })).toMatchObject({
      state: 'dead',
      dueAt: null,
      lastError: fault('permanent'),
    });
  });

  test('of an older text goes on to the newer one, which is a case of its own', () => {
    const standing = { desired: 2, attempt: 3 };
    expect(step(failed('permanent'), { standing })).toMatchObject({ state: 'retrying', attempt: 0, dueAt: noon });
    expect(step(failed('permanent', { credential: true }), { standing }).state).toBe('dead');
    expect(step(failed('permanent'), { standing: { ...standing, retracting: true } }).state).toBe('superseded');
  });

  test('of a reply whose thread is gone leads to the message itself, once', () => {
    const gone = failed('permanent', { rootGone: true });
    expect(step(gone)).toMatchObject({ state: 'retrying', dueAt: noon });
    expect(step(gone, { standing: { unthreaded: true } }).state).toBe('dead');
    expect(step(gone, { standing: { cancelRequested: true } }).state).toBe('cancelled');
  });

  test('of an edit leaves what was confirmed as it was', () => {
    const standing = { confirmed: 1, desired: 2, receipt };
    expect(step(failed('permanent'), { standing, attempted: { action: 'revise', revision: 2 } })).toMatchObject({
      state: 'dead',
      confirmed: 1,
      receipt,
    });
  });
});

describe('a transient fault', () => {
  test('is tried again after a backoff that grows with the tries', () => {
    expect(step(failed('transient'))).toMatchObject({ state: 'retrying', dueAt: at(0.5), attempt: 1 });
    expect(step(failed('transient'), { standing: { attempt: 2 } }).dueAt).toEqual(at(1));
  });

  test('ends the delivery dead when the last attempt is spent', () => {
    expect(step(failed('transient'), { standing: { attempt: 3 } })).toMatchObject({ state: 'dead', dueAt: null });
  });

  test('backs off by the tries that counted, not by those that a rate limit refused', () => {
    expect(step(failed('transient'), { standing: { attempt: 9, uncounted: 8 } }).dueAt).toEqual(at(0.5));
  });

  test('of a probe that found nobody there spends nothing: it must not die of having been the first in an outage', () => {
    const probe = { standing: { attempt: 3 }, attempted: { probing: true } };
    expect(step(failed('transient'), probe)).toMatchObject({ state: 'retrying', attempt: 3, uncounted: 1 });
    // A refusal may be this message's own fault, and one that is refused for ever must not keep the breaker open for ever.
    expect(step(failed('transient', { status: 408 }), probe)).toMatchObject({ state: 'dead' });
    expect(step(failed('ambiguous'), probe)).toMatchObject({ state: 'dead' });
  });
});

describe('a rate limit', () => {
  test('waits for as long as the service asked, and holds up everything that spends from the same budget', () => {
    const limited = step(failed('rate_limited', { retryAfterMs: 20_000 }), { random: 0 });
    expect(limited).toMatchObject({ state: 'retrying', dueAt: at(20), blockedUntil: at(20) });
  });

  test.each([0, 0.3, 0.999])('is never left earlier than asked, nor more than a tenth later (dice %d)', (random) => {
    const { dueAt } = step(failed('rate_limited', { retryAfterMs: 10_000 }), { random });
    expect(dueAt?.getTime()).toBeGreaterThanOrEqual(at(10).getTime());
    expect(dueAt?.getTime()).toBeLessThanOrEqual(at(11).getTime());
  });

  test('of years is clamped to an hour', () => {
    expect(step(failed('rate_limited', { retryAfterMs: 1e12 }), { random: 0 }).dueAt).toEqual(at(3_600));
  });

  test('is shown as a try but never spends the allowance', () => {
    const limited = failed('rate_limited', { retryAfterMs: 1_000 });
    let standing = { attempt: 0, uncounted: 0, maxAttempts: 1 };
    for (let n = 1; n <= 50; n++) {
      const { attempt, uncounted, state } = step(limited, { standing: { ...standing, attempt: standing.attempt + 1 } });
      expect({ attempt, uncounted, state }).toEqual({ attempt: n, uncounted: n, state: 'retrying' });
      standing = { ...standing, attempt, uncounted };
    }
    // The one counted try is still there to be made, and then spent.
    expect(step(failed('transient'), { standing: { ...standing, attempt: standing.attempt + 1 } }).state).toBe('dead');
  });

  test('without a wait is asked less and less often: a day of it makes some two thousand requests, not millions', () => {
    const limited = failed('rate_limited', { retryAfterMs: 0 });
    let now = noon;
    let standing: Partial<Standing> = { attempt: 1 };
    let requests = 0;
    for (let state = 'retrying'; state === 'retrying'; requests++) {
      const made = step(limited, { standing, now, random: 0 });
      standing = { attempt: made.attempt + 1, uncounted: made.uncounted, refusedSince: made.refusedSince };
      now = made.dueAt ?? now;
      state = made.state;
    }
    expect(requests).toBeLessThan(2_000);
    expect(now.getTime() - noon.getTime()).toBeGreaterThanOrEqual(86_400_000);
  });

  test('that lasts for a day ends the delivery dead, and says why', () => {
    const standing = { attempt: 9, uncounted: 8, refusedSince: at(-86_400) };
    expect(step(failed('rate_limited', { retryAfterMs: 1_000 }), { standing })).toMatchObject({
      state: 'dead',
      dueAt: null,
      blockedUntil: null,
      lastError: {
        reason: 'refused_too_long',
        message: expect.stringMatching(/nothing but refusals for a day.*A fault/),
      },
    });
  });

  test('counts from anew after any other answer', () => {
    const standing = { refusedSince: at(-80_000) };
    expect(step(failed('rate_limited'), { standing }).refusedSince).toEqual(at(-80_000));
    for (const other of [failed('transient'), failed('ambiguous')])
      expect(step(other, { standing }).refusedSince).toBeNull();
    expect(step(failed('rate_limited')).refusedSince).toEqual(noon);
  });

  test('makes the others wait for as long as the service said, however often this one was refused', () => {
    const standing = { attempt: 9, uncounted: 8, refusedSince: at(-100) };
    expect(step(failed('rate_limited', { retryAfterMs: 2_000 }), { standing, random: 0 })).toMatchObject({
      dueAt: at(25),
      blockedUntil: at(2),
    });
  });

  test('that is only about one message holds up that message alone', () => {
    const limited = failed('rate_limited', { retryAfterMs: 20_000, limits: 'message' });
    expect(step(limited, { random: 0 })).toMatchObject({ state: 'retrying', dueAt: at(20), blockedUntil: null });
  });

  test('no other outcome holds up the budget', () => {
    for (const faultClass of ['transient', 'permanent', 'ambiguous'] as FaultClass[]) {
      expect(step(failed(faultClass), { rules: verifiable }).blockedUntil).toBeNull();
    }
  });
});

describe('an attempt that our side could not make', () => {
  const ours = failed('transient', { ours: true });

  test('spends no try, however often it happens, and is repeated less and less often', () => {
    for (const attempt of [1, 3, 50]) {
      const standing = { attempt, uncounted: attempt - 1, maxAttempts: 1 };
      expect(step(ours, { standing })).toMatchObject({ state: 'retrying', attempt, uncounted: attempt });
    }
    expect(step(ours).dueAt).toEqual(at(0.5));
    expect(step(ours, { standing: { attempt: 4, uncounted: 3 } }).dueAt).toEqual(at(4));
  });

  test('ends with its deadline, or when it is not wanted any more', () => {
    expect(step(ours, { standing: { expiresAt: at(-1) } }).state).toBe('expired');
    expect(step(ours, { standing: { cancelRequested: true } }).state).toBe('cancelled');
  });
});

describe('an ambiguous send', () => {
  test('to a service that ignores repetitions is repeated like a transient one', () => {
    expect(step(failed('ambiguous'))).toMatchObject({ state: 'retrying', dueAt: at(0.5), suspect: null });
    expect(step(failed('ambiguous'), { standing: { attempt: 3 } }).state).toBe('dead');
  });

  test('to a service that can be asked is looked for on its schedule, counted from when the doubt arose', () => {
    expect(step(failed('ambiguous'), { rules: verifiable })).toMatchObject({
      state: 'verifying',
      dueAt: at(5),
      suspect: { since: at(-1), from: noon, looks: 0, absentAt: null },
      lastError: fault('ambiguous'),
    });
  });

  test('is looked for even when it was the last attempt, or is no longer wanted', () => {
    expect(step(failed('ambiguous'), { rules: verifiable, standing: { attempt: 3 } }).state).toBe('verifying');
    expect(step(failed('ambiguous'), { rules: verifiable, standing: { cancelRequested: true } }).state).toBe(
      'verifying',
    );
    expect(step(failed('ambiguous'), { rules: verifiable, standing: { expiresAt: at(-1) } }).state).toBe('verifying');
    expect(step(failed('ambiguous'), { rules: verifiable, standing: { retracting: true, desired: 2 } }).state).toBe(
      'verifying',
    );
  });

  test('makes the next looks reach back to the first send that may have landed', () => {
    const standing = { suspect: { since: at(-900), from: at(-899), looks: 3, absentAt: at(-1) } };
    expect(step(failed('ambiguous'), { rules: verifiable, standing }).suspect).toEqual({
      since: at(-900),
      from: noon,
      looks: 0,
      absentAt: null,
    });
  });

  test('that nobody can be asked about ends unknown, and is not sent again', () => {
    expect(step(failed('ambiguous'), { rules: blind })).toMatchObject({ state: 'unknown', dueAt: null });
  });

  test('is sent again without asking only where the destination opted into that', () => {
    expect(step(failed('ambiguous'), { rules: resend })).toMatchObject({ state: 'retrying', dueAt: at(0.5) });
  });

  test('is looked for first even where the destination opted into sending again', () => {
    expect(step(failed('ambiguous'), { rules: verifiableResend }).state).toBe('verifying');
  });
});

describe('a look that finds the message', () => {
  const found = { attempted: looking, rules: verifiable };

  test('confirms the delivery, with what finds the message again', () => {
    expect(step(landed(1), { ...found, standing: suspected(6) })).toMatchObject({
      state: 'confirmed',
      confirmed: 1,
      receipt,
      suspect: null,
      dueAt: null,
    });
  });

  test('with an older text goes on towards the desired one at once, with all attempts before it', () => {
    const standing = { ...suspected(6), desired: 2, attempt: 3 };
    expect(step(landed(1), { ...found, standing })).toMatchObject({
      state: 'pending',
      confirmed: 1,
      receipt,
      suspect: null,
      attempt: 0,
      dueAt: noon,
    });
  });

  test('goes on to take it back when the broadcast was retracted meanwhile', () => {
    const standing = { ...suspected(6), desired: 2, retracting: true };
    expect(step(landed(1), { ...found, standing })).toMatchObject({ state: 'pending', confirmed: 1 });
  });
});

describe('a look that finds nothing', () => {
  const nothing = { attempted: looking, rules: verifiable };

  test('before the horizon proves nothing: the next look comes on schedule', () => {
    expect(step(absent, { ...nothing, standing: suspected(5) })).toMatchObject({
      state: 'verifying',
      dueAt: at(25),
      suspect: { looks: 1, absentAt: null },
    });
    expect(step(absent, { ...nothing, standing: suspected(30, 1) }).dueAt).toEqual(at(90));
    expect(step(absent, { ...nothing, standing: suspected(119.999, 2) }).state).toBe('verifying');
  });

  test('at the horizon allows another send', () => {
    expect(step(absent, { ...nothing, standing: suspected(120, 2) })).toMatchObject({
      state: 'retrying',
      dueAt: noon,
      attempt: 1,
      suspect: { absentAt: noon },
    });
  });

  test('skips the looks whose time has passed, when the process was away for longer', () => {
    expect(step(absent, { ...nothing, standing: suspected(60) }).dueAt).toEqual(at(60));
  });

  test('at the horizon ends the delivery dead when its attempts are spent: it provably never arrived', () => {
    expect(step(absent, { ...nothing, standing: { ...suspected(120), attempt: 3 } }).state).toBe('dead');
  });

  test.each([
    ['cancelled', { cancelRequested: true }],
    ['expired', { expiresAt: at(-1) }],
    ['superseded', { retracting: true, desired: 2 }],
  ])('at the horizon ends it %s when it is no longer wanted, and not a moment before', (state, unwanted) => {
    expect(step(absent, { ...nothing, standing: { ...suspected(119), ...unwanted } }).state).toBe('verifying');
    expect(step(absent, { ...nothing, standing: { ...suspected(120), ...unwanted } }).state).toBe(state);
  });
});

describe('a look that could not tell', () => {
  const dim = { attempted: looking, rules: verifiable };

  test('is repeated on schedule', () => {
    expect(step(unclear('transient'), { ...dim, standing: suspected(5) })).toMatchObject({
      state: 'verifying',
      dueAt: at(25),
      lastError: fault('transient'),
    });
  });

  test('waits for as long as the service asked when it was refused for its rate', () => {
    const limited = unclear('rate_limited', { retryAfterMs: 600_000 });
    expect(step(limited, { ...dim, standing: suspected(5), random: 0 }).dueAt).toEqual(at(600));
    expect(step(limited, { ...dim, standing: suspected(500), random: 0 }).dueAt).toEqual(at(600));
  });

  test('past the horizon is repeated a few times more, and then nobody knows', () => {
    for (const looks of [0, 3, 6]) {
      expect(step(unclear('transient'), { ...dim, standing: suspected(121, looks) }).state).toBe('verifying');
    }
    expect(step(unclear('transient'), { ...dim, standing: suspected(121, 7) })).toMatchObject({
      state: 'unknown',
      dueAt: null,
      lastError: fault('transient'),
    });
  });

  test('because it was refused for its rate, or because our side could not make it, is not counted', () => {
    const late = { ...dim, standing: suspected(500, 7) };
    for (const refused of [unclear('rate_limited', { retryAfterMs: 30_000 }), unclear('transient', { ours: true })]) {
      expect(step(refused, late)).toMatchObject({ state: 'verifying', suspect: { looks: 7 } });
    }
    // The service would tell, and is asked again when it has time.
    const limited = step(unclear('rate_limited', { retryAfterMs: 30_000 }), { ...late, random: 0 });
    expect(limited).toMatchObject({ dueAt: at(30), blockedUntil: at(30), refusedSince: noon });
  });

  test('for a day, because it was refused for its rate, ends unknown', () => {
    const standing = { ...suspected(90_000), refusedSince: at(-86_400) };
    expect(step(unclear('rate_limited'), { ...dim, standing })).toMatchObject({
      state: 'unknown',
      lastError: { reason: 'refused_too_long' },
    });
  });

  test('for good ends unknown at once, never dead: the message may be there', () => {
    expect(step(unclear('permanent'), { ...dim, standing: suspected(5) }).state).toBe('unknown');
  });

  test.each(['transient', 'rate_limited', 'permanent', 'ambiguous'] as const)(
    'is no send that failed: %s neither kills the delivery nor spends or counts a try',
    (faultClass) => {
      const standing = { ...suspected(5), attempt: 3, uncounted: 1 };
      const looked = step(failed(faultClass), { ...dim, standing });
      expect(looked.state).toBe(faultClass === 'permanent' ? 'unknown' : 'verifying');
      expect(looked).toMatchObject({ attempt: 3, uncounted: 1 });
    },
  );

  test('leads to another send only where the destination opted into that, and while there are attempts', () => {
    const rules = verifiableResend;
    expect(step(unclear('permanent'), { ...dim, rules, standing: suspected(5) })).toMatchObject({
      state: 'retrying',
      suspect: null,
    });
    expect(step(unclear('permanent'), { ...dim, rules, standing: { ...suspected(5), attempt: 3 } }).state).toBe('dead');
  });
});

describe('a delivery that is no longer wanted', () => {
  test.each([
    ['transient', 'cancelled', { cancelRequested: true }],
    ['rate_limited', 'cancelled', { cancelRequested: true }],
    ['transient', 'superseded', { retracting: true, desired: 2 }],
    ['rate_limited', 'superseded', { retracting: true, desired: 2 }],
    ['transient', 'expired', { expiresAt: noon }],
    ['rate_limited', 'expired', { expiresAt: at(-1) }],
  ] as const)('after a %s fault ends %s instead of being sent again', (faultClass, state, unwanted) => {
    expect(step(failed(faultClass), { standing: unwanted })).toMatchObject({ state, dueAt: null });
  });

  test('is sent again while its deadline lies ahead', () => {
    expect(step(failed('transient'), { standing: { expiresAt: at(0.001) } }).state).toBe('retrying');
  });

  test('is taken back until that succeeds when it may have landed at a service that ignores repetitions', () => {
    const standing = { doubtful: true, retracting: true, desired: 2 };
    const attempted = { action: 'retract' as const, revision: 2 };
    expect(step(failed('transient'), { standing, attempted }).state).toBe('retrying');
    expect(step(success, { standing, attempted }).state).toBe('confirmed');
  });

  test('still has its edits and its retraction seen through once something was said', () => {
    const said = { confirmed: 1, desired: 2, receipt };
    const attempted = { action: 'retract' as const, revision: 2 };
    for (const standing of [
      { ...said, retracting: true },
      { ...said, cancelRequested: true },
      { ...said, expiresAt: at(-60) },
    ]) {
      expect(step(failed('transient'), { standing, attempted }).state).toBe('retrying');
    }
  });
});
