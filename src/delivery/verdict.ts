import type { BroadcastState, DeliveryState } from './state.ts';
import { isFinal } from './state.ts';

export interface Counted {
  state: DeliveryState;
  required: boolean;
  id?: string;
  /** At a fallback: the delivery that was not confirmed in time, or not at all. */
  insteadOf?: string | null;
}

/**
 * What a broadcast has come to. While any delivery is open: `converging`. Then the required deliveries decide, or all of them
 * when none is required. One at a fallback does not count once the delivery that it stands in for is confirmed. A cancelled or superseded delivery was not wanted any more; when that is true of all, so is the broadcast.
 */
export function verdict(deliveries: readonly Counted[]): BroadcastState {
  if (deliveries.some(({ state }) => !isFinal(state))) return 'converging';
  const counted = withoutSpares(deliveries);
  const required = counted.filter((delivery) => delivery.required);
  const deciding = required.length > 0 ? required : counted;
  if (deciding.every(({ state }) => state === 'cancelled' || state === 'superseded')) return 'cancelled';
  const confirmed = deciding.filter(({ state }) => state === 'confirmed').length;
  if (confirmed === deciding.length) return 'delivered';
  return confirmed > 0 ? 'partial' : 'failed';
}

/** All but those that stand in for one that is confirmed after all; also over several steps, from fallback to fallback. */
function withoutSpares(deliveries: readonly Counted[]): Counted[] {
  const byId = new Map(deliveries.map((delivery) => [delivery.id, delivery]));
  const isSpare = ({ insteadOf }: Counted): boolean => {
    const original = insteadOf ? byId.get(insteadOf) : undefined;
    return original !== undefined && (original.state === 'confirmed' || isSpare(original));
  };
  return deliveries.filter((delivery) => !isSpare(delivery));
}

export interface Summarised {
  destination: string;
  state: DeliveryState;
  hold: 'paused' | 'breaker' | 'topic' | null;
  attempt: number;
  maxAttempts: number;
  confirmed: number;
}

/** What is true of all deliveries of a broadcast. */
export interface Common {
  topic: string | null;
  retracted: boolean;
}

/** One line for a person: "slack-incidents confirmed, teams-ops retrying 2/5, jira-ops held (paused)". */
export function summary(deliveries: readonly Summarised[], common: Common): string {
  return deliveries.map((each) => `${each.destination} ${standing(each, common)}`).join(', ');
}

function standing(delivery: Summarised, common: Common): string {
  const { state, hold, attempt, maxAttempts, confirmed } = delivery;
  const tries = state === 'retrying' ? ` ${shownAttempt(attempt, maxAttempts)}/${maxAttempts}` : '';
  const why = hold === null ? '' : ` (${reason(hold, common)})`;
  if (!common.retracted) return `${state}${tries}${why}`;
  // Confirmed is then that nothing is there any more.
  if (state === 'confirmed') return 'retracted';
  if (!isFinal(state)) return hold === null ? `retracting${tries}` : `retracting, held${why}`;
  return confirmed > 0 ? `not retracted (${state})` : state;
}

function reason(hold: 'paused' | 'breaker' | 'topic', { topic }: Common): string {
  if (hold === 'topic') return `behind an earlier broadcast of ${topic}`;
  return hold === 'breaker' ? 'breaker open' : hold;
}

/** Tries that a rate limit refused are shown but not spent, so there can be more of them than are allowed. */
export function shownAttempt(attempt: number, maxAttempts: number): number {
  return Math.min(attempt, maxAttempts);
}
