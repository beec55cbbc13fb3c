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
