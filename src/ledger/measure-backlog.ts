import type { Database } from './database.ts';

/** How many deliveries are due and wait for their turn, by destination; those without any are missing. */
export async function measureBacklog(db: Database): Promise<Map<string, number>> {
  const { rows } = await db.query<{ destination: string; n: number }>({
    name: 'measure-backlog',
    text: `select destination, count(*)::int as n from deliveries
            where due_at <= now() group by destination`,
  });
  return new Map(rows.map(({ destination, n }) => [destination, n]));
}
