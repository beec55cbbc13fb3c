import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { type Crew, queueKinds, startCrew } from './crew.ts';

describe.each(queueKinds)('many destinations in one process, on %s', (queue) => {
  let crew: Crew;
  const quiet = Array.from({ length: 12 }, (_, n) => `quiet-${n}`);
  const paced = Array.from({ length: 8 }, (_, n) => `paced-${n}`);

  beforeAll(async () => {
    crew = await startCrew({ queue, workers: 1 });
    for (const name of quiet) await crew.webhook(name, { concurrency: 2, timeoutMs: 6_000 });
  });
  afterAll(() => crew?.stop());

  const arrived = (name: string) => crew.sandbox.webhook.deliveries(name).length;

  test('a destination that hangs holds its own places, and not those of the others', async () => {
    crew.sandbox.misbehave('webhook', { do: 'stall', place: 'quiet-0', times: Number.POSITIVE_INFINITY });
    await Promise.all(Array.from({ length: 60 }, () => crew.post(['quiet-0'])));
    await until('it to hang', () => crew.sandbox.requests('webhook').length > 0);
    await crew.post(quiet.slice(1));
    await until('all others', () => quiet.slice(1).every((name) => arrived(name) === 1));
    // None of its timeouts has passed, or there would be more.
    expect(crew.sandbox.requests('webhook').filter(({ place }) => place === 'quiet-0').length).toBeLessThanOrEqual(2);
  });

  test('many rate limits hold beside each other', async () => {
    for (const name of paced) await crew.webhook(name, { rateLimit: { max: 1, perMs: 100 } });
    const id = await crew.post(paced);
    expect((await crew.api('GET', `/broadcasts/${id}?wait=20`)).body.state).toBe('delivered');
  });
});
