import { adapterFor } from '../src/destinations/registry.ts';
import { gather } from '../src/gather.ts';
import { isAboutItem } from '../src/ledger/database.ts';
import { endOrphans } from '../src/ledger/end-orphans.ts';
import { escalateOverdue } from '../src/ledger/escalate-overdue.ts';
import { expireOverdue } from '../src/ledger/expire-overdue.ts';
import { findLostAttempts } from '../src/ledger/find-lost-attempts.ts';
import { holdStopped } from '../src/ledger/hold-stopped.ts';
import { releaseStranded } from '../src/ledger/release-stranded.ts';
import { releaseTopics } from '../src/ledger/release-topics.ts';
import { sendProbes } from '../src/ledger/send-probes.ts';
import { type Settlement, settle } from '../src/ledger/settle.ts';
import { type Loop, loop } from './loop.ts';
import type { Parts } from './parts.ts';
import { rulesFor } from './rules.ts';

/** How much one round takes on of each kind. */
const batch = 500;
/** A search that found nothing is not repeated for so many times as long as it took: a large backlog then costs a two-hundredth of a core. */
const restFactor = 200;
const longestRestMs = 30_000;

/** The net under every other loop: what a crash, a lost queue or a race left behind is found in the ledger and set going again. */
export function sweep({ db, log }: Parts): Loop {
  // Those that are paced read all that waits; the others only what they are looking for.
  const searches = {
    escalated: () => escalateOverdue(db, batch),
    held: () => holdStopped(db, batch),
    lost: settleLost,
    expired: () => expireOverdue(db, batch),
    probes: () => sendProbes(db),
    released: () => releaseStranded(db),
    orphans: paced(() => endOrphans(db, batch)),
    overtaken: paced(() => releaseTopics(db, batch)),
  };

  // One that another session has locked keeps back none of the others.
  const settleOne = gather((all: Settlement[]) => settle(db, all), { isItems: isAboutItem });

  async function round(): Promise<boolean> {
    const found = {} as Record<keyof typeof searches, number>;
    let failed: unknown;
    for (const what of Object.keys(searches) as (keyof typeof searches)[]) {
      // One that fails must not keep those behind it from their turn.
      found[what] = await searches[what]().catch((error) => {
        failed ??= error;
        return 0;
      });
    }
    if (found.lost + found.orphans + found.released + found.overtaken > 0)
      log.info(found, 'the sweep found deliveries left behind');
    if (found.escalated > 0) {
      log.warn({ deliveries: found.escalated }, 'not confirmed in time: sent to their fallbacks as well');
    }
    if (failed) throw failed;
    // At most one chunk a second is released. Where a place fails again, its whole backlog would be released and held
    // time after time, and the others would wait for the database.
    return Math.max(...Object.values({ ...found, released: 0 })) >= batch;
  }

  /** The processes that held these leases died. Whether the message left is unknown: that is an outcome like any other. */
  async function settleLost(): Promise<number> {
    const found = await findLostAttempts(db, batch);
    // What becomes of a doubt depends on the kind, so that one of a newer version's is left to that version.
    const lost = found.filter(({ kind }) => adapterFor(kind));
    const settled = await Promise.allSettled(
      lost.map(({ id, claim, action, kind, policy }) => {
        const fault = {
          class: 'ambiguous' as const,
          reason: 'process_lost',
          message: 'The process that made this attempt ended before it could tell the outcome.',
          status: null,
          retryAfterMs: null,
        };
        return settleOne({
          id,
          claim,
          outcome: action === 'verify' ? { is: 'unclear' as const, fault } : { is: 'fault' as const, fault },
          rules: rulesFor(adapterFor(kind), action, policy),
          tellsHealth: false,
        });
      }),
    );
    const failed = settled.find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') log.warn({ err: failed.reason }, 'a lost attempt could not be settled');
    return settled.filter((each) => each.status === 'fulfilled' && each.value.accepted).length;
  }

  return loop(round, { everyMs: 1_000, onError: (error) => log.error({ err: error }, 'the sweep could not go round') });
}

/** Searches at once again after a find, otherwise after a rest that grows with what searching costs. */
function paced(search: () => Promise<number>): () => Promise<number> {
  let restUntil = 0;
  return async () => {
    const began = performance.now();
    if (began < restUntil) return 0;
    let found = 0;
    try {
      found = await search();
    } finally {
      const ended = performance.now();
      restUntil = found > 0 ? 0 : ended + Math.min((ended - began) * restFactor, longestRestMs);
    }
    return found;
  };
}
