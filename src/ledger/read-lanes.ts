import type { Policy } from '../policy.ts';
import type { Database } from './database.ts';

export interface Lane {
  name: string;
  policy: Policy;
  budget: string | null;
  updatedAt: Date;
}

/** Every destination with what its lane has to know, by name. */
export async function readLanes(db: Database): Promise<Lane[]> {
  const { rows } = await db.query<Lane>(
    'select name, policy, budget, updated_at as "updatedAt" from destinations order by name',
  );
  return rows;
}
