import { next, type Step } from '../delivery/next.ts';
import type { Claimed } from './claim.ts';
import { type Database, jsonb } from './database.ts';
import type { Settled, Settlement } from './settle.ts';

/**
 * Settles the plain case in one round trip: a first send that went as claimed. The state machine decides here, from what the claim
 * returned; the database writes it only where nothing has changed since (`settle_plain` in 012-lean.sql). Answers what it settled; the
 * rest is for the careful way.
 */
export async function settlePlain(db: Database, settlements: readonly Settlement[]): Promise<Map<Settlement, Settled>> {
  const plain = new Map<string, { settlement: Settlement; version: string; step: Step }>();
  for (const settlement of settlements) {
    const { id, claimed } = settlement;
    const step = claimed?.plain ? stepOf(settlement, claimed) : null;
    // Of two outcomes of one delivery the first counts.
    if (!claimed || step?.state !== 'confirmed' || plain.has(id)) continue;
    plain.set(id, { settlement, version: claimed.version, step });
  }
  if (plain.size === 0) return new Map();
  const all = [...plain.values()];
  const { rows } = await db.query<{ id: string }>({
    name: 'settle-plain',
    text: 'select settle_plain($1, $2, $3::text[]::xid[], $4, $5, $6, $7, $8, $9) as id',
    values: [
      [...plain.keys()],
      all.map(({ settlement }) => settlement.claim),
      all.map(({ version }) => version),
      all.map(({ step }) => step.state),
      all.map(({ step }) => step.attempt),
      all.map(({ step }) => step.uncounted),
      all.map(({ step }) => step.confirmed),
      jsonb(all.map(({ step }) => step.receipt)),
      all.map(({ settlement }) => settlement.outcome.is),
    ],
  });
  const settled = { accepted: true, state: 'confirmed' as const, waitMs: null, blockedMs: null, news: [] };
  return new Map(
    rows.flatMap(({ id }) => {
      const one = plain.get(id);
      return one ? [[one.settlement, { id, ...settled }]] : [];
    }),
  );
}

/** The step of a send that was never in doubt, with nothing else at its broadcast that an outcome could bring about. */
function stepOf({ outcome, rules }: Settlement, claimed: Claimed): Step | null {
  if (outcome.is !== 'success') return null;
  const { attempt, uncounted, maxAttempts, revision, startedAt } = claimed;
  const standing = {
    attempt,
    uncounted,
    maxAttempts,
    desired: revision,
    confirmed: 0,
    retracting: false,
    receipt: null,
    suspect: null,
    expiresAt: null,
    cancelRequested: false,
  };
  const attempted = { action: claimed.action, revision, startedAt };
  return next(standing, attempted, outcome, rules, startedAt, () => 0);
}
