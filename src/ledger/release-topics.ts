import { type Database, transaction } from './database.ts';
import { release } from './release.ts';
import { heldPlaces } from './release-stranded.ts';

/**
 * Frees deliveries held behind one of their topic that was ending in the very moment in which they were held. Reads all that a topic
 * holds, but asks only for the first of each: the others are behind it. Answers how many.
 */
export async function releaseTopics(db: Database, limit: number): Promise<number> {
  return transaction(db, async (client) => {
    const { rows: unblocked } = await client.query<{ destination: string; topic: string }>(
      `${heldPlaces}
       select p.destination, h.topic
         from places p
         cross join lateral (
           select topic, min(seq) as seq from deliveries
            where destination = p.destination and hold = 'topic' and state = 'held' group by topic) h
        where not exists (
          select from deliveries e
           where e.destination = p.destination and e.topic = h.topic and e.seq < h.seq
             and e.state in ('pending', 'sending', 'verifying', 'retrying', 'held') offset 0)
        limit $1`,
      [limit],
    );
    return release(client, { topicsAfter: unblocked });
  });
}
