/** What the ledger will not do because of what it already holds. `names` are what stands in the way. */
export class Refusal extends Error {
  override name = 'Refusal';
  readonly reason: 'in_use' | 'fallback_missing' | 'fallback_cycle' | 'fallback_too_long' | 'member_missing';
  readonly names: string[];
  constructor(reason: Refusal['reason'], names: string[], message: string) {
    super(message);
    this.reason = reason;
    this.names = names;
  }
}

/** “2 deliveries to ops are open”, in the number that fits. */
export function openDeliveries(count: number, name: string): string {
  return count === 1 ? `1 delivery to ${name} is open` : `${count} deliveries to ${name} are open`;
}
