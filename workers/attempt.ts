import type { Action, Fault, Outcome } from '../src/delivery/outcome.ts';
import type { Configuration } from '../src/destinations/configured.ts';
import { perform } from '../src/destinations/perform.ts';
import { adapterFor } from '../src/destinations/registry.ts';
import type { Wire } from '../src/destinations/wire.ts';
import { gather } from '../src/gather.ts';
import type { HealthNews } from '../src/ledger/breaker.ts';
import { type Claimed, leaseMarginMs } from '../src/ledger/claim.ts';
import { isAboutItem, isAboutStatement } from '../src/ledger/database.ts';
import type { StoredEvent } from '../src/ledger/rows.ts';
import { type Settled, type Settlement, settle } from '../src/ledger/settle.ts';
import { type ToldEvent, tellEvents } from '../src/ledger/tell-events.ts';
import { callbackPolicy } from '../src/policy.ts';
import { callbackSecret } from '../src/secrets.ts';
import { createConfigurations } from './configurations.ts';
import type { Parts } from './parts.ts';
import { rulesFor } from './rules.ts';

/** A settle is retried this often, in milliseconds, while the database is away: the outcome is known and must not be lost. */
const settleAgainMs = 250;

/** So many times the ledger may refuse an outcome for what it says, before a doubt is settled in its place. */
const settlesRefused = 5;

/** Settlements wait for each other so long, in milliseconds, and no longer for a batch that waits for a lock. */
const settleLateMs = 100;

/** So long after its lease began, in milliseconds, nothing is sent any more: what is sent may take its whole deadline. */
const staleMs = leaseMarginMs * 0.75;

/** A claim of a callback. */
type EventClaim = Claimed & { event: StoredEvent };

/**
 * Makes one attempt that was claimed: performs it and settles its outcome. This file is the path of a delivery. Resolves with the
 * milliseconds until the delivery goes on, null when it does not by itself.
 *
 * @param signal interrupts attempts when a graceful stop has run out of grace; their outcomes are still settled
 */
export function createAttempt({ db, vault, network, log }: Parts, signal: AbortSignal) {
  const settleOne = gather((all: Settlement[]) => settle(db, all), {
    width: 4,
    lateMs: settleLateMs,
    isItems: isAboutItem,
  });
  const tellOne = gather((claims: EventClaim[]) => tellEvents(db, claims), { max: 16, isItems: isAboutItem });

  const configurationOf = createConfigurations(vault);
  // Its lines hold the facts that `tell` names, and no secrets. To look for some in each line would take longer than its attempt.
  const attempts = log.child({}, { redact: [] });

  return async function attempt(claimed: Claimed, lease: Instant): Promise<number | null> {
    const started = performance.now();
    const { outcome, wire } = isStale(lease) ? { outcome: overslept(claimed), wire: null } : await make(claimed, lease);
    const rules = rulesFor(adapterFor(claimed.kind), claimed.action, claimed.policy);
    const { id, claim } = claimed;
    const settled = await settleSurely({ id, claim, outcome, rules, tellsHealth: !isOurs(outcome), claimed });
    for (const news of settled.news) proclaim(news);
    tell(claimed, outcome, settled, { wire, ms: Math.round(performance.now() - started) });
    return settled.waitMs;
  };

  async function make(claimed: Claimed, lease: Instant) {
    const adapter = adapterFor(claimed.kind);
    const isCallback = claimed.event !== null;
    if (!isCallback && claimed.settings === null) return { outcome: gone(claimed), wire: null };
    if (!adapter) return { outcome: unknownKind(claimed), wire: null };
    let stored: Configuration;
    try {
      stored = isCallback ? callbackConfiguration(claimed) : configurationOf(claimed);
    } catch (error) {
      return { outcome: sealed(claimed, error), wire: null };
    }
    let event: ToldEvent | null = null;
    try {
      if (hasEvent(claimed)) event = await tellOne(claimed);
    } catch (error) {
      log.error({ delivery: claimed.id, err: error }, 'what a callback tells could not be read');
      return { outcome: untold(claimed), wire: null };
    }
    const {
      id: key,
      action,
      revision,
      receipt,
      root,
      since,
      startedAt,
      place,
      message,
      retracted,
      topic,
      correlationId,
      metadata,
    } = claimed;
    return perform(
      adapter,
      {
        action,
        ...stored,
        key,
        revision,
        receipt,
        root,
        since,
        startedAt,
        place,
        notice: {
          message,
          key,
          revision,
          retracted,
          broadcastId: claimed.broadcastId,
          topic,
          correlationId,
          metadata,
          createdAt: claimed.createdAt,
          crossLinks: claimed.crossLinks,
          ...(event && { event }),
        },
        timeoutMs: (claimed.policy ?? callbackPolicy).timeoutMs,
        leaveBy: lease.wall + staleMs + (claimed.policy ?? callbackPolicy).timeoutMs,
      },
      network,
      signal,
    );
  }

  function callbackConfiguration({ callback, callbackSecret: sealed, broadcastId }: Claimed): Configuration {
    const signingSecret = sealed ? vault.open(sealed, callbackSecret(broadcastId)) : undefined;
    return { settings: { url: callback?.url }, secrets: { signingSecret } };
  }

  /** The attempt was made, so its outcome is offered until the ledger has it, or has moved on without it; or this process ends. */
  async function settleSurely(settlement: Settlement): Promise<Settled> {
    let offered = settlement;
    for (let refused = 0; ; ) {
      try {
        return await settleOne(offered);
      } catch (error) {
        log.error({ delivery: settlement.id, err: error }, 'an outcome could not be settled; trying again');
        if (isAboutStatement(error)) refused += 1;
        // An outcome that the ledger never takes must not keep a place at its destination. If the doubt is refused too, the lease runs out.
        if (signal.aborted || refused >= 2 * settlesRefused) throw error;
        if (refused === settlesRefused) offered = { ...settlement, outcome: unsettled(settlement.outcome) };
        await new Promise((resolve) => setTimeout(resolve, settleAgainMs));
      }
    }
  }

  /** What an operator has to know. A refused credential stops everything there until a person has mended it, so that is an error. */
  function proclaim({ is, destination, detail }: HealthNews): void {
    if (is === 'paused')
      log.error({ destination, reason: detail }, 'destination paused: nothing is sent there until it is resumed');
    else if (is === 'opened') log.warn({ destination, until: detail }, 'breaker opened: deliveries are held');
    else log.info({ destination }, 'breaker closed: deliveries go on');
  }

  /** One wide line per attempt that carries every fact. */
  function tell(
    claimed: Claimed,
    outcome: Outcome,
    settled: Settled,
    { wire, ms }: { wire: Wire | null; ms: number },
  ): void {
    const fault = outcome.is === 'fault' || outcome.is === 'unclear' ? outcome.fault : null;
    const { id, destination, kind, broadcastId, claim: n, action, revision, correlationId } = claimed;
    const facts = { delivery: id, broadcast: broadcastId, correlationId, destination, kind, n, action, revision, ms };
    attempts[fault ? 'warn' : 'info'](
      {
        ...facts,
        outcome: fault?.class ?? outcome.is,
        ...(fault && { reason: fault.reason, detail: fault.message }),
        requests: wire?.requests,
        sent: wire?.sent,
        status: wire?.status,
        state: settled.state,
        waitMs: settled.waitMs,
      },
      'attempt',
    );
  }
}

/** A moment by both clocks: the steady one may stand still while the machine sleeps, and the wall's may be set. */
export interface Instant {
  steady: number;
  wall: number;
}

export function instant(): Instant {
  return { steady: performance.now(), wall: Date.now() };
}

/** After a pause of the process, or a slow answer, there is too little of the lease left to begin with anything. */
function isStale({ steady, wall }: Instant): boolean {
  return Math.max(performance.now() - steady, Date.now() - wall) > staleMs;
}

function isOurs(outcome: Outcome): boolean {
  return (outcome.is === 'fault' || outcome.is === 'unclear') && outcome.fault.ours === true;
}

function fault(action: Action, about: Pick<Fault, 'class' | 'reason' | 'message'> & Partial<Fault>): Outcome {
  return { is: action === 'verify' ? 'unclear' : 'fault', fault: { status: null, retryAfterMs: null, ...about } };
}

function overslept({ action }: Claimed): Outcome {
  const message = 'The claim took too long, or the process stood still after it, so that nothing was sent.';
  return fault(action, { class: 'transient', reason: 'claim_stale', message, ours: true });
}

/** Stands for an outcome that the ledger cannot store: what may have landed stays in doubt, so that it is asked for first. */
function unsettled(outcome: Outcome): Outcome {
  const known = outcome.is === 'fault' ? outcome.fault.class : 'ambiguous';
  const message = 'The outcome of the attempt could not be stored; the log says why.';
  const fault = { class: known, reason: 'unreadable_reply', message, status: null, retryAfterMs: null };
  return { is: outcome.is === 'success' || outcome.is === 'fault' ? 'fault' : 'unclear', fault };
}

function unknownKind({ action, kind }: Claimed): Outcome {
  const message = `This process does not know the kind ${kind}: upgrade all workers.`;
  return fault(action, { class: 'transient', reason: 'kind_unknown', message, ours: true });
}

function gone({ action, destination }: Claimed): Outcome {
  const message = `The destination ${destination} does not exist any more.`;
  return fault(action, { class: 'permanent', reason: 'destination_removed', message });
}

/** For a destination that ends with a pause, and nothing is lost. A callback has none to pause: its tries are spent. */
function sealed({ action, event }: Claimed, error: unknown): Outcome {
  const message = error instanceof Error ? error.message : 'The secrets of this destination cannot be opened.';
  const ours = event === null && { ours: true, credential: true };
  return fault(action, { class: 'transient', reason: 'secret_sealed', message, ...ours });
}

function hasEvent(claimed: Claimed): claimed is EventClaim {
  return claimed.event !== null;
}

function untold({ action }: Claimed): Outcome {
  const message = 'The broadcast could not be read, so that nothing was sent.';
  return fault(action, { class: 'transient', reason: 'broadcast_unread', message, ours: true });
}
