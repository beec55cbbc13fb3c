import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { type Crew, queueKinds, startCrew } from './crew.ts';

describe.each(queueKinds)('more destinations than lanes, on %s', (queue) => {
  let crew: Crew;
  const quiet = Array.from({ length: 12 }, (_, n) => `quiet-${n}`);
  const paced = Array.from({ length: 8 }, (_, n) => `paced-${n}`);

  beforeAll(async () => {
    crew = await startCrew({ queue, workers: 1, env: { TOCSIN_MAX_LANES: '8' } });
    for (const name of quiet) await crew.webhook(name, { concurrency: 2, timeoutMs: 20_000 });
  });
  afterAll(() => crew?.stop());

  const arrived = (name: string) => crew.sandbox.webhook.deliveries(name).length;

  test('one that hangs holds its own places in a shared lane, and not those of the others', async () => {
    crew.sandbox.misbehave('webhook', { do: 'stall', place: 'quiet-0', times: Number.POSITIVE_INFINITY });
    await Promise.all(Array.from({ length: 60 }, () => crew.post(['quiet-0'])));
    await until('it to hang', () => crew.sandbox.requests('webhook').length > 0);
    await crew.post(quiet.slice(1));
    await until('all others', () => quiet.slice(1).every((name) => arrived(name) === 1));
    // None of its timeouts has passed, or there would be more.
    expect(crew.sandbox.requests('webhook').filter(({ place }) => place === 'quiet-0').length).toBeLessThanOrEqual(2);
  });

  test('even too many rate limits fit into the lanes there are, and none of them is exceeded', async () => {
    for (const name of paced) await crew.webhook(name, { rateLimit: { max: 1, perMs: 100 } });
    const id = await crew.post(paced);
    expect((await crew.api('GET', `/broadcasts/${id}?wait=60`)).body.state).toBe('delivered');
  });
});

test.each(queueKinds)('what waits goes on when one destination more makes them share lanes, on %s', async (queue) => {
  const crew = await startCrew({ queue, env: { TOCSIN_MAX_LANES: '8' } });
  try {
    for (const name of ['slow', 'b', 'c', 'd']) await crew.webhook(name, { concurrency: 1 });
    crew.sandbox.misbehave('webhook', { do: 'slow', ms: 150, place: 'slow', times: Number.POSITIVE_INFINITY });
    await Promise.all(Array.from({ length: 60 }, () => crew.post(['slow'])));
    expect((await crew.webhook('one-more')).status).toBe(201);
    const arrived = () => crew.sandbox.webhook.distinct('slow').length;
    expect(arrived()).toBeLessThan(60);
    await until('all to arrive', () => arrived() === 60);
  } finally {
    await crew.stop();
  }
});

test('a PostgreSQL that could never hold a connection for each lane is refused, with the remedy', async () => {
  await expect(startCrew({ queue: 'postgres', workers: 1, env: { TOCSIN_MAX_LANES: '5000' } })).rejects.toThrow(
    /may need \d+ connections to PostgreSQL, which allows \d+: raise max_connections, lower TOCSIN_MAX_LANES/,
  );
});
