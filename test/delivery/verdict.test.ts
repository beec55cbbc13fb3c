import { describe, expect, test } from 'vitest';
import { type DeliveryState, deliveryStates, finalStates, isFinal, openStates } from '../../src/delivery/state.ts';
import { type Summarised, shownAttempt, summary, verdict } from '../../src/delivery/verdict.ts';

const required = (...states: DeliveryState[]) => states.map((state) => ({ state, required: true }));
const optional = (...states: DeliveryState[]) => states.map((state) => ({ state, required: false }));

test('every state is either open or final', () => {
  expect(deliveryStates.filter(isFinal)).toEqual([...finalStates]);
  expect(deliveryStates.filter((state) => !isFinal(state))).toEqual([...openStates]);
});

describe('a broadcast', () => {
  test.each(openStates)('converges for as long as one delivery is %s', (state) => {
    expect(verdict(required('confirmed', state))).toBe('converging');
  });

  test.each(openStates)('waits for an optional delivery that is %s too', (state) => {
    expect(verdict([...required('confirmed'), ...optional(state)])).toBe('converging');
  });

  test('is delivered when every required delivery is confirmed, whatever became of the optional ones', () => {
    expect(verdict([...required('confirmed', 'confirmed'), ...optional('dead', 'unknown')])).toBe('delivered');
  });

  test.each(['dead', 'unknown', 'expired', 'cancelled', 'superseded'] as const)(
    'is partial when one required delivery is confirmed and another %s',
    (state) => {
      expect(verdict(required('confirmed', state))).toBe('partial');
    },
  );

  test.each(['dead', 'unknown', 'expired'] as const)(
    'has failed when its only required delivery is %s, even if an optional one arrived',
    (state) => {
      expect(verdict([...required(state), ...optional('confirmed')])).toBe('failed');
    },
  );

  test.each([
    ['confirmed', 'dead', 'delivered'],
    ['confirmed', 'confirmed', 'delivered'],
    ['dead', 'confirmed', 'partial'],
    ['dead', 'dead', 'failed'],
  ] as const)('whose delivery is %s and the one at the fallback %s is %s', (original, fallback, state) => {
    const deliveries = [
      { id: 'one', state: original, required: true },
      { id: 'two', state: fallback, required: true, insteadOf: 'one' },
    ];
    expect(verdict(deliveries)).toBe(state);
  });

  test('is delivered when the first of a ladder of fallbacks is confirmed after all', () => {
    const deliveries = [
      { id: 'one', state: 'confirmed' as const, required: true },
      { id: 'two', state: 'dead' as const, required: true, insteadOf: 'one' },
      { id: 'three', state: 'unknown' as const, required: true, insteadOf: 'two' },
    ];
    expect(verdict(deliveries)).toBe('delivered');
  });

  test('waits for the delivery at a fallback even when its original is confirmed', () => {
    const deliveries = [
      { id: 'one', state: 'confirmed' as const, required: true },
      { id: 'two', state: 'sending' as const, required: true, insteadOf: 'one' },
    ];
    expect(verdict(deliveries)).toBe('converging');
  });

  test('is cancelled when nothing of what decides was wanted any more', () => {
    expect(verdict(required('cancelled', 'superseded'))).toBe('cancelled');
    expect(verdict([...required('cancelled'), ...optional('dead')])).toBe('cancelled');
  });

  test('has failed when some were cancelled and the rest did not arrive', () => {
    expect(verdict(required('cancelled', 'dead'))).toBe('failed');
  });

  test('is decided by the optional deliveries when none is required', () => {
    expect(verdict(optional('confirmed', 'confirmed'))).toBe('delivered');
    expect(verdict(optional('confirmed', 'dead'))).toBe('partial');
    expect(verdict(optional('dead'))).toBe('failed');
    expect(verdict(optional('cancelled'))).toBe('cancelled');
  });
});

describe('the summary', () => {
  const delivery = (destination: string, state: DeliveryState, rest: Partial<Summarised> = {}) => ({
    destination,
    state,
    hold: null,
    attempt: 1,
    maxAttempts: 5,
    confirmed: 0,
    ...rest,
  });
  const said = { topic: 'INC-1234', retracted: false };
  const retracted = { ...said, retracted: true };

  test('names each destination with its state, and how far the retrying ones are', () => {
    const retrying = delivery('teams-ops', 'retrying', { attempt: 2 });
    expect(summary([delivery('slack-incidents', 'confirmed'), retrying], said)).toBe(
      'slack-incidents confirmed, teams-ops retrying 2/5',
    );
  });

  test('says why a delivery is held', () => {
    const held = (hold: Summarised['hold']) => summary([delivery('teams-ops', 'held', { hold })], said);
    expect(held('paused')).toBe('teams-ops held (paused)');
    expect(held('breaker')).toBe('teams-ops held (breaker open)');
    expect(held('topic')).toBe('teams-ops held (behind an earlier broadcast of INC-1234)');
  });

  test('tells what is taken back from what is there', () => {
    const deliveries = [
      delivery('slack-incidents', 'confirmed', { confirmed: 2 }),
      delivery('jira-ops', 'sending', { confirmed: 1 }),
      delivery('mail', 'retrying', { confirmed: 1, attempt: 2 }),
      delivery('teams-ops', 'held', { confirmed: 1, hold: 'paused' }),
      delivery('pager', 'dead', { confirmed: 1 }),
      delivery('web', 'superseded'),
      delivery('other', 'dead'),
    ];
    expect(summary(deliveries, retracted)).toBe(
      'slack-incidents retracted, jira-ops retracting, mail retracting 2/5, teams-ops retracting, held (paused), ' +
        'pager not retracted (dead), web superseded, other dead',
    );
  });

  test('never counts more tries than there are, although a rate limit can cause more', () => {
    expect(summary([delivery('teams-ops', 'retrying', { attempt: 9 })], said)).toBe('teams-ops retrying 5/5');
    expect(shownAttempt(9, 5)).toBe(5);
    expect(shownAttempt(2, 5)).toBe(2);
  });
});
