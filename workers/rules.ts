import type { Rules } from '../src/delivery/next.ts';
import type { Action } from '../src/delivery/outcome.ts';
import type { Adapter } from '../src/destinations/adapter.ts';
import { callbackPolicy, type Policy } from '../src/policy.ts';

/** What the state machine may assume of an attempt: what its kind can do, and what its destination's policy wants. */
export function rulesFor(adapter: Adapter | undefined, action: Action, policy: Policy | null): Rules {
  const { backoff, onUnknown } = policy ?? callbackPolicy;
  return {
    repeatable: action !== 'verify' && (adapter?.repeatable.includes(action) ?? false),
    // Edits are judged by repeating them; only a first send is looked for.
    scheduleSeconds: action === 'deliver' || action === 'verify' ? (adapter?.verify?.scheduleSeconds ?? null) : null,
    onUnknown,
    backoff,
  };
}
