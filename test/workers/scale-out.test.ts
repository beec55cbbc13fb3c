import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RedisCluster, redisAvailable, startRedisCluster } from '../support/redis.ts';
import { until } from '../support/until.ts';
import { type Crew, startCrew } from './crew.ts';

const places = Array.from({ length: 6 }, (_, n) => `place-${n}`);

async function furnish(crew: Crew): Promise<void> {
  // Enough patience for one lost process: its attempts are ambiguous, and a webhook is repeated under the same id.
  for (const name of places)
    await crew.webhook(name, { maxAttempts: 20, backoff: { baseMs: 50, maxMs: 200 }, timeoutMs: 2_000 });
}

/** Every broadcast arrived once at every place: as often as there were posts, told apart by `webhook-id`. */
async function allArrive(crew: Crew, posts: number): Promise<void> {
  const open = async () => {
    const { rows } = await crew.db.query(`select count(*)::int as n from deliveries where state <> 'confirmed'`);
    return rows[0].n;
  };
  await until('everything to be confirmed', async () => (await open()) === 0, { everyMs: 100 });
  for (const name of places) expect(crew.sandbox.webhook.distinct(name)).toHaveLength(posts);
}

describe.skipIf(!redisAvailable())('a Redis Cluster of three, two APIs and three workers', () => {
  let cluster: RedisCluster;
  let crew: Crew;
  beforeAll(async () => {
    cluster = await startRedisCluster();
    crew = await startCrew({
      queue: 'redis',
      redisUrl: cluster.nodes.map(({ url }) => url).join(','),
      apis: 2,
      workers: 2,
    });
    await furnish(crew);
  });
  afterAll(async () => {
    await crew?.stop();
    await cluster?.stop();
  });

  test('share the work; one that comes helps, and one that is lost takes nothing along', async () => {
    const third = await crew.hire();
    const posting = Promise.all(Array.from({ length: 60 }, () => crew.post(places)));
    await until('work to be under way', () => crew.sandbox.requests('webhook').length > 30);
    await crew.lose(third);
    await posting;
    await allArrive(crew, 60);
  });
});
