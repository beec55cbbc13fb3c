import type { BroadcastState, DeliveryState } from './state.ts';
import { isFinal } from './state.ts';

export interface Counted {
  state: DeliveryState;
  required: boolean;
}

/**
 * What a broadcast has come to. While any delivery is open: `converging`. Then the required deliveries decide, or all of them
 * when none is required. A cancelled or superseded delivery was not wanted any more; when that is true of all, so is the broadcast.
 */
export function verdict(deliveries: readonly Counted[]): BroadcastState {
  if (deliveries.some(({ state }) => !isFinal(state))) return 'converging';
  const required = deliveries.filter((delivery) => delivery.required);
  const deciding = required.length > 0 ? required : deliveries;
  if (deciding.every(({ state }) => state === 'cancelled' || state === 'superseded')) return 'cancelled';
  const confirmed = deciding.filter(({ state }) => state === 'confirmed').length;
  if (confirmed === deciding.length) return 'delivered';
  return confirmed > 0 ? 'partial' : 'failed';
}

export interface Summarised {
  destination: string;
  state: DeliveryState;
  attempt: number;
  maxAttempts: number;
}

/** One line for a person: "slack-incidents confirmed, teams-ops retrying 2/5". */
export function summary(deliveries: readonly Summarised[]): string {
  return deliveries
    .map(({ destination, state, attempt, maxAttempts }) =>
      state === 'retrying'
        ? `${destination} retrying ${shownAttempt(attempt, maxAttempts)}/${maxAttempts}`
        : `${destination} ${state}`,
    )
    .join(', ');
}

/** Tries that a rate limit refused are shown but not spent, so there can be more of them than are allowed. */
export function shownAttempt(attempt: number, maxAttempts: number): number {
  return Math.min(attempt, maxAttempts);
}
