import type { Policy } from '../policy.ts';
import type { Database } from './database.ts';

/** The limits of one destination. */
export interface Lane {
  name: string;
  concurrency: number;
  rateLimit: Policy['rateLimit'];
}

/**
 * Every destination. There may be thousands, and all are read often: no more of each than is needed. Nothing is cast here, for what was
 * written by hand into one of them would keep all from being read.
 */
export async function readLanes(db: Database): Promise<Lane[]> {
  const { rows } = await db.query<Lane>({
    name: 'read-lanes',
    text: `select name, policy -> 'concurrency' as concurrency, policy -> 'rateLimit' as "rateLimit" from destinations`,
  });
  return rows;
}
