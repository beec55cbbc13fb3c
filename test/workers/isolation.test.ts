import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { type Crew, queueKinds, startCrew } from './crew.ts';

const impatient = { backoff: { baseMs: 50, maxMs: 100 }, maxAttempts: 50 };

describe.each(queueKinds)('destinations on %s, driven by two processes', (queue) => {
  let crew: Crew;
  beforeAll(async () => {
    crew = await startCrew({ queue });
  });
  afterAll(() => crew?.stop());

  const arrivals = (name: string) => crew.sandbox.requests('webhook').filter(({ place }) => place === name);
  const times = (name: string) => arrivals(name).map(({ at }) => at.getTime());

  test('a destination made while the workers run is driven at once, and so is one that was removed and made again', async () => {
    expect((await crew.webhook('fresh')).status).toBe(201);
    await crew.reaches(await crew.post(['fresh']), 'confirmed');
    expect((await crew.api('DELETE', '/destinations/fresh')).status).toBe(204);
    await crew.webhook('fresh');
    await crew.reaches(await crew.post(['fresh']), 'confirmed');
  });

  test('a rate limit holds on the wire over both processes, and a changed one too', async () => {
    const span = 500;
    await crew.webhook('paced', { rateLimit: { max: 3, perMs: span } });
    await Promise.all(Array.from({ length: 9 }, () => crew.post(['paced'])));
    await until('all of them', () => times('paced').length === 9);
    // Nine at three a span take two spans and more; single gaps are the machine's as much as ours.
    const slow = times('paced');
    expect((slow.at(-1) ?? 0) - (slow[0] ?? 0)).toBeGreaterThanOrEqual(2 * span - 100);
    await crew.webhook('paced', { rateLimit: { max: 100, perMs: span } });
    await until('both to know it', async () => {
      const from = times('paced').length;
      await Promise.all(Array.from({ length: 9 }, () => crew.post(['paced'])));
      await until('these too', () => times('paced').length === from + 9);
      const [first = 0, ...rest] = times('paced').slice(from);
      return (rest.at(-1) ?? first) - first < span;
    });
  });

  test('a limit that a receiver states stops its destination, and no other', async () => {
    await crew.webhook('limited');
    await crew.webhook('free');
    crew.sandbox.misbehave('webhook', { do: 'rateLimit', retryAfter: 5, place: 'limited' });
    const first = await crew.post(['limited']);
    await crew.reaches(first, 'retrying');
    const refused = times('limited')[0] ?? 0;
    const later = await Promise.all(Array.from({ length: 6 }, () => crew.post(['limited', 'free'])));
    await until('the free one to get all', () => times('free').length === 6);
    expect(times('limited')).toHaveLength(1);
    await Promise.all([first, ...later].map((id) => crew.api('GET', `/broadcasts/${id}?wait=60`)));
    await until('the limited one to get all', () => times('limited').length === 8);
    expect(Math.min(...times('limited').slice(1)) - refused).toBeGreaterThanOrEqual(5_000);
  });

  test('destinations that share a credential share its limit; a new credential does not wait for the old one', async () => {
    const slack = (name: string, token: string) =>
      crew.api('PUT', `/destinations/${name}`, {
        kind: 'slack',
        settings: { channel: `C${name.toUpperCase().replaceAll('-', '')}`, apiUrl: crew.sandbox.addresses.slackApiUrl },
        secrets: { token },
      });
    for (const name of ['same-1', 'same-2']) await slack(name, 'xoxb-same');
    await slack('other', 'xoxb-other');
    const posts = () =>
      crew.sandbox.requests('slack').filter(({ path, place }) => path.includes('postMessage') && place !== 'COTHER');
    crew.sandbox.misbehave('slack', { do: 'rateLimit', retryAfter: 600, place: 'CSAME1' });
    const [one, two] = [await crew.post(['same-1']), await crew.reaches(await crew.post(['other']), 'confirmed')];
    expect(two).toBeTruthy();
    await crew.reaches(one, 'retrying');
    const second = await crew.post(['same-2']);
    await crew.reaches(await crew.post(['other']), 'confirmed');
    expect(posts()).toHaveLength(1);
    await slack('same-2', 'xoxb-new');
    await crew.reaches(second, 'confirmed');
    expect(posts()).toHaveLength(2);
  });

  test('critical overtakes what waits at its destination', async () => {
    await crew.webhook('busy', { rateLimit: { max: 1, perMs: 250 } });
    await Promise.all(Array.from({ length: 24 }, () => crew.post(['busy'], 'info')));
    await until('the first', () => times('busy').length > 0);
    await crew.post(['busy'], 'critical');
    const before = times('busy').length;
    await until('it', () => arrivals('busy').some(({ body }) => severityOf(body) === 'critical'));
    const ahead = arrivals('busy').findIndex(({ body }) => severityOf(body) === 'critical') - before;
    // Those that had begun, and what a busy machine lets pass meanwhile; not all the rest.
    expect(ahead).toBeLessThanOrEqual(12);
    await until('the others', () => times('busy').length === 25);
  });

  test('a breaker opens, holds, probes with one, closes and lets go on; and is seen to', async () => {
    await crew.webhook('sick', impatient);
    crew.sandbox.misbehave('webhook', { do: 'refuse', status: 503, place: 'sick', times: Number.POSITIVE_INFINITY });
    const ids = await Promise.all(Array.from({ length: 20 }, () => crew.post(['sick'])));
    const sick = async () => (await crew.api('GET', '/destinations/sick')).body;
    await until('all to be held', async () => (await sick()).openDeliveries.held === 20);
    expect((await sick()).breaker).toMatchObject({ state: 'open' });
    expect((await crew.api('GET', '/metrics')).body).toMatch(
      /tocsin_destination_stopped\{destination="sick",by="breaker"\} 1/,
    );
    await until('it to be told', () => crew.logs().includes('breaker opened'));
    // Their jobs are gone: held deliveries are the ledger's alone.
    await until('no jobs to be left', async () => (await jobs(crew, 'sick')) === 0);

    const before = times('sick').length;
    const letProbe = () => crew.db.query(`update destinations set breaker_until = now() where name = 'sick'`);
    await letProbe();
    await until('the probe', () => times('sick').length === before + 1);
    await until('it to be open again', async () => (await sick()).breaker.state === 'open');
    expect(times('sick')).toHaveLength(before + 1);
    crew.sandbox.behave('webhook');
    await letProbe();
    for (const id of ids) await crew.reaches(id, 'confirmed');
    expect((await sick()).breaker).toEqual({ state: 'closed', until: null, faults: 0 });
  });

  test('a probe does not wait behind what its paced destination still holds, so that what is well again is noticed', async () => {
    await crew.webhook('slow', { ...impatient, rateLimit: { max: 2, perMs: 1_000 } });
    crew.sandbox.misbehave('webhook', { do: 'refuse', status: 503, place: 'slow', times: Number.POSITIVE_INFINITY });
    await Promise.all(Array.from({ length: 150 }, () => crew.post(['slow'], 'info')));
    const breaker = async () => (await crew.api('GET', '/destinations/slow')).body.breaker.state;
    await until('it to open', async () => (await breaker()) === 'open');
    crew.sandbox.behave('webhook');
    await crew.db.query(`update destinations set breaker_until = now() where name = 'slow'`);
    // The others alone would take longer to pass than is waited here.
    await until('it to close', async () => (await breaker()) === 'closed');
  });

  test('a refused credential pauses the destination and says so; resuming loses nothing', async () => {
    await crew.webhook('locked', { ...impatient, concurrency: 1 });
    crew.sandbox.misbehave('webhook', { do: 'refuse', status: 401, place: 'locked' });
    const first = await crew.post(['locked']);
    await crew.reaches(first, 'dead');
    const rest = await Promise.all(Array.from({ length: 5 }, () => crew.post(['locked'])));
    for (const id of rest) await crew.reaches(id, 'held');
    expect((await crew.api('GET', '/destinations/locked')).body.paused.reason).toMatch(/credential refused/);
    const line = await until('the log to say so', () =>
      crew
        .logs()
        .split('\n')
        .find((each) => each.includes('destination paused')),
    );
    expect(JSON.parse(line)).toMatchObject({ level: 'error', destination: 'locked' });
    await crew.api('POST', '/destinations/locked/resume');
    for (const id of rest) await crew.reaches(id, 'confirmed');
  });
});

function severityOf(body: unknown): string {
  return (body as { data: { message: { severity: string } } }).data.message.severity;
}

async function jobs({ redis, db }: Crew, destination: string): Promise<number> {
  if (!redis) {
    const { rows } = await db.query('select count(*)::int as n from bullmq.job where id = $1', [`to-${destination}`]);
    return rows[0].n;
  }
  const { Redis } = await import('ioredis');
  const client = new Redis(redis.url);
  try {
    const keys = await client.keys(`tocsin:{destinations}:to-${destination}`);
    return keys.length;
  } finally {
    client.disconnect();
  }
}
