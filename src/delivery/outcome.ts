/** What one attempt may try to do at a destination. */
export type Action = 'deliver' | 'verify' | 'revise' | 'retract';

export type FaultClass = 'transient' | 'rate_limited' | 'permanent' | 'ambiguous';

/**
 * What an attempt taught us when it did not succeed.
 *
 * - `transient`: provably not applied, worth another try.
 * - `rate_limited`: refused for now; `retryAfterMs` is what the service asked for, or null where it did not say.
 * - `permanent`: refused for good; trying again changes nothing.
 * - `ambiguous`: it cannot be shown not to have landed.
 */
export interface Fault {
  class: FaultClass;
  /** A short machine-readable word: the vendor's own code where there is one. */
  reason: string;
  /** One sentence for a person; never carries a secret. */
  message: string;
  status: number | null;
  retryAfterMs: number | null;
  /**
   * Of a rate limit: what has to wait. By default all that spends from the same credential (the destination alone, where its kind
   * shares no limit); 'message' where the service says that it is only about the one thing that was written to.
   */
  limits?: 'credential' | 'message';
  /** True when the credential itself was refused, so that every delivery of the destination would fare the same. */
  credential?: boolean;
  /**
   * True when the service was not asked: what is wrong is in this process or in what it was given. That spends no try and no look, and
   * says nothing about the place.
   */
  ours?: boolean;
  /** True when only what this message was to go under, the topic's first, is not there any more. */
  rootGone?: boolean;
  /** True when the service answered a look in good order, and only its answer does not tell: that is no sign of illness. */
  inconclusive?: boolean;
}

/** What finds the message again. Kinds add their own properties. */
export interface Receipt {
  at: string;
  url: string | null;
  [property: string]: unknown;
}

export type Outcome =
  | { is: 'success'; receipt: Receipt }
  /** Verify found the message: with the text of `revision`. */
  | { is: 'landed'; receipt: Receipt; revision: number }
  /** Verify looked everywhere it should be and did not find it (yet). */
  | { is: 'absent' }
  /** Verify could not look, or could not tell. */
  | { is: 'unclear'; fault: Fault }
  | { is: 'fault'; fault: Fault };
