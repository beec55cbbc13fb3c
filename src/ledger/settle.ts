import type { PoolClient } from 'pg';
import { type Attempted, next, type Rules, type Step, type Suspect } from '../delivery/next.ts';
import type { Action, Fault, Outcome } from '../delivery/outcome.ts';
import { type DeliveryState, isFinal } from '../delivery/state.ts';
import { type HealthNews, judgeHealth } from './breaker.ts';
import type { Claimed } from './claim.ts';
import { conclude, type InFlight, lockBroadcasts } from './conclude.ts';
import { forgiveLinking } from './cross-link.ts';
import { type Database, jsonb, transaction } from './database.ts';
import type { RecordedFault, StoredDelivery } from './rows.ts';
import { settlePlain } from './settle-plain.ts';
import { writeDeliveries } from './write-deliveries.ts';

/** The outcome of one claim. `claim` must be the delivery's newest, or nothing happens. */
export interface Settlement {
  id: string;
  claim: number;
  outcome: Outcome;
  rules: Rules;
  /** False where the outcome says nothing about the destination, as when our own process died. */
  tellsHealth?: boolean;
  /** What was claimed, where it is at hand: the plain case is then settled without reading it again. */
  claimed?: Claimed;
}

export interface Settled {
  id: string;
  /** False: a newer claim has taken over, or the delivery is not being sent any more. */
  accepted: boolean;
  state: DeliveryState | null;
  /** Milliseconds until it goes on; null when it is final. */
  waitMs: number | null;
  /** Milliseconds that the delivery's lane, and those that share its budget, are to wait. */
  blockedMs: number | null;
  /** What the whole batch changed about this destination; told with one of its deliveries. */
  news: HealthNews[];
}

/** A delivery in flight, and the step it takes. */
export interface Move {
  settlement: Settlement;
  attempted: Attempted;
  after: StoredDelivery;
  step: Step;
  action: Action;
}

/**
 * Writes outcomes down and moves their deliveries on, and with the last open delivery of a broadcast its verdict, its callbacks
 * and escalations: one short transaction for all.
 */
export async function settle(
  db: Database,
  settlements: readonly Settlement[],
  random: () => number = Math.random,
): Promise<Settled[]> {
  const plain = await settlePlain(db, settlements);
  const others = settlements.filter((settlement) => !plain.has(settlement));
  const carefully = others.length > 0 ? await settleCarefully(db, others, random) : [];
  const rest = carefully.values();
  return settlements.map((settlement) => plain.get(settlement) ?? (rest.next().value as Settled));
}

async function settleCarefully(
  db: Database,
  settlements: readonly Settlement[],
  random: () => number,
): Promise<Settled[]> {
  return transaction(db, async (client) => {
    const standings = await lockBroadcasts(client, { ofDeliveries: settlements.map(({ id }) => id) });
    const inFlight = new Map(standings.deliveries.map((row) => [row.id, row]));
    const moves = settlements.map((settlement) => {
      const made = move(settlement, inFlight.get(settlement.id), standings.now, random);
      // The same outcome told twice in one batch counts once.
      if (made) inFlight.delete(settlement.id);
      return made;
    });
    const made = moves.filter((move) => move !== null);
    let news: HealthNews[] = [];
    if (made.length > 0) {
      await record(client, made);
      await conclude(
        client,
        standings,
        made.map(({ after }) => after),
      );
      news = await judgeHealth(client, made);
    }
    const untold = new Set(news);
    const newsOf = (destination: string | undefined) =>
      [...untold].filter((each) => each.destination === destination && untold.delete(each));
    const msFromNow = (at: Date | null | undefined) =>
      at ? Math.max(0, at.getTime() - standings.now.getTime()) : null;
    return settlements.map(({ id }, index) => {
      const step = moves[index]?.step;
      return {
        id,
        accepted: step !== undefined,
        state: moves[index]?.after.state ?? null,
        waitMs: msFromNow(step?.dueAt),
        // What holds up looks must not stop sends: they are another matter to most services.
        blockedMs: moves[index]?.action === 'verify' ? null : msFromNow(step?.blockedUntil),
        news: newsOf(moves[index]?.after.destination),
      };
    });
  });
}

function move(settlement: Settlement, before: InFlight | undefined, now: Date, random: () => number): Move | null {
  if (!before || before.claims !== settlement.claim) return null;
  const attempted = attemptedBy(before, settlement, now);
  if (!attempted) return null;
  const { action } = attempted;
  const fault = settlement.outcome.is === 'fault' ? settlement.outcome.fault : null;
  const mayHaveLanded = action === 'deliver' && fault?.class === 'ambiguous' && settlement.rules.repeatable;
  const doubtful = before.doubtful || mayHaveLanded;
  const standing = {
    attempt: before.attempt,
    uncounted: before.uncounted,
    maxAttempts: before.max_attempts,
    desired: before.desired,
    confirmed: before.confirmed,
    retracting: before.retracted,
    receipt: before.receipt,
    suspect: suspectFrom(before.suspect),
    expiresAt: before.expires_at,
    cancelRequested: before.cancel_requested,
    doubtful,
    unthreaded: before.unthreaded,
    refusedSince: before.last_error?.refusedSince ? new Date(before.last_error.refusedSince) : null,
  };
  const step = next(standing, attempted, settlement.outcome, settlement.rules, now, random);
  const {
    retracted: _,
    started_at: __,
    attempted_action: ___,
    attempted_revision: ____,
    probing: _____,
    ...row
  } = before;
  const after: StoredDelivery = {
    ...row,
    state: step.state,
    attempt: step.attempt,
    uncounted: step.uncounted,
    confirmed: step.confirmed,
    receipt: step.receipt,
    suspect: step.suspect && suspectTo(step.suspect),
    doubtful: doubtful && step.confirmed === 0,
    unthreaded: before.unthreaded || fault?.rootGone === true,
    // What brought the doubt about stays told until the doubt is over.
    last_error: step.lastError
      ? lastErrorOf(step.lastError, step)
      : step.confirmed > 0
        ? null
        : plain(before.last_error),
    due_at: step.dueAt,
    hold: null,
    action: null,
    sending_revision: null,
    updated_at: now,
    ended_at: isFinal(step.state) ? now : null,
  };
  return { settlement, attempted, after: forgiveLinking(after), step, action };
}

/**
 * The attempt that an outcome belongs to: the one in flight; or one that was given up for lost when its lease ran out, of which a
 * success is better news than that nobody knows.
 */
function attemptedBy(before: InFlight, { outcome }: Settlement, now: Date): Attempted | null {
  const startedAt = before.started_at ?? now;
  if (before.state === 'sending' && before.action && before.sending_revision) {
    return { action: before.action, revision: before.sending_revision, startedAt, probing: before.probing };
  }
  const { attempted_action: action, attempted_revision: revision } = before;
  const givenUp =
    before.last_error?.reason === 'process_lost' && (before.ended_at === null || before.state === 'unknown');
  if (!givenUp || outcome.is !== 'success' || !action || !revision) return null;
  return { action, revision, startedAt };
}

async function record(client: PoolClient, moves: readonly Move[]): Promise<void> {
  await writeDeliveries(
    client,
    moves.map(({ after }) => after),
  );
  await client.query({
    name: 'finish-attempts',
    text: `
insert into attempts (delivery_id, n, action, revision, started_at, finished_at, outcome, error)
select delivery_id, n, action, revision, started_at, finished_at, outcome, nullif(error, 'null')
  from jsonb_to_recordset($1::jsonb) as g (
    delivery_id text, n integer, action text, revision integer, started_at timestamptz, finished_at timestamptz, outcome text, error jsonb)
-- The outcome of an attempt that was given up for lost came after all.
on conflict (delivery_id, n) do update set finished_at = excluded.finished_at, outcome = excluded.outcome, error = excluded.error`,
    values: [
      jsonb(
        moves.map(({ after, attempted, settlement: { claim, outcome } }) => ({
          delivery_id: after.id,
          n: claim,
          action: attempted.action,
          revision: attempted.revision,
          started_at: attempted.startedAt,
          finished_at: after.updated_at,
          outcome: nameOf(outcome),
          error: faultOf(outcome),
        })),
      ),
    ],
  });
}

function suspectFrom(stored: StoredDelivery['suspect']): Suspect | null {
  if (!stored) return null;
  const { since, from, looks, absentAt } = stored;
  return { since: new Date(since), from: new Date(from), looks, absentAt: absentAt ? new Date(absentAt) : null };
}

function suspectTo({ since, from, looks, absentAt }: Suspect): StoredDelivery['suspect'] {
  return { since: since.toISOString(), from: from.toISOString(), looks, absentAt: absentAt?.toISOString() ?? null };
}

/** What the attempt log calls an outcome: a success by its name, a fault by its class. */
function nameOf(outcome: Outcome): string {
  return outcome.is === 'fault' ? outcome.fault.class : outcome.is;
}

function faultOf(outcome: Outcome): RecordedFault | null {
  return outcome.is === 'fault' || outcome.is === 'unclear' ? recordedFrom(outcome.fault) : null;
}

function lastErrorOf(fault: Fault, { refusedSince }: Step): RecordedFault {
  return { ...recordedFrom(fault), ...(refusedSince && { refusedSince: refusedSince.toISOString() }) };
}

/** An answer came in between, so that the refusals before it do not count any more. */
function plain(fault: RecordedFault | null): RecordedFault | null {
  return fault && { ...fault, refusedSince: undefined };
}

function recordedFrom({ class: faultClass, reason, message, status }: Fault): RecordedFault {
  return { class: faultClass, reason, message, status };
}
