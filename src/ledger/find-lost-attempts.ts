import type { Action } from '../delivery/outcome.ts';
import type { Policy } from '../policy.ts';
import type { Database } from './database.ts';

/** How long outcomes have, in milliseconds, to be settled after the database has come back, before attempts are given up for lost. */
const headStartMs = 3_000;

/** An attempt whose lease ran out: the process that made it died, and nobody knows how far it got. */
export interface LostAttempt {
  id: string;
  claim: number;
  action: Action;
  kind: string;
  policy: Policy | null;
}

/** Attempts that nobody will settle any more, the longest lost first; none until the database has been up for `headStart` milliseconds. */
export async function findLostAttempts(db: Database, limit: number, headStart = headStartMs): Promise<LostAttempt[]> {
  const { rows } = await db.query<LostAttempt>(
    `select d.id, d.claims as claim, d.action, d.kind, t.policy
       from deliveries d left join destinations t on t.name = d.destination and d.role = 'message'
      where d.state = 'sending' and d.lease_until <= now()
        -- Leases ran on while the server was away, and those who hold outcomes have to reach it first.
        and pg_postmaster_start_time() <= now() - $2 * interval '1 ms'
      order by d.lease_until limit $1`,
    [limit, headStart],
  );
  return rows;
}
