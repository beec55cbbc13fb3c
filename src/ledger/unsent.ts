import type { StoredDelivery } from './rows.ts';

/** True while nothing of it is known to be there, and nothing is in flight or being looked for. */
export function isUnsent(row: StoredDelivery): boolean {
  return (
    (row.state === 'pending' || row.state === 'retrying' || row.state === 'held') &&
    row.confirmed === 0 &&
    (row.suspect === null || row.suspect.absentAt !== null)
  );
}

/** Ends it without another send. One whose send may have landed all the same is not known to be unsaid. */
export function ended(row: StoredDelivery, wanted: 'cancelled' | 'expired' | 'superseded', now: Date): StoredDelivery {
  const state = row.doubtful ? 'unknown' : wanted;
  return { ...row, state, hold: null, due_at: null, updated_at: now, ended_at: now };
}
