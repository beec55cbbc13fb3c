import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool } from 'undici';
import { destinationAt, make } from '../kinds.ts';
import type { Attack, Trial } from '../trial.ts';

/** So many connections ask for one page as fast as it comes, for so long. */
async function flood(
  { target }: Trial,
  path: string,
  connections: number,
  forMs: number,
): Promise<Record<string, number>> {
  const pool = new Pool(target.url, { connections, pipelining: 1 });
  const statuses: Record<string, number> = {};
  const until = performance.now() + forMs;
  const ask = async () => {
    while (performance.now() < until) {
      try {
        const { statusCode, body } = await pool.request({ method: 'GET', path });
        await body.dump({ limit: 50_000_000 });
        statuses[statusCode] = (statuses[statusCode] ?? 0) + 1;
      } catch {
        statuses.broken = (statuses.broken ?? 0) + 1;
        await delay(100);
      }
    }
  };
  await Promise.all(Array.from({ length: connections }, ask));
  await pool.destroy();
  return statuses;
}

const open = (path: string): Attack => ({
  name: `a flood of ${path}`,
  async run(trial) {
    const statuses = await flood(trial, path, 32, 6_000);
    return `32 connections without a key for six seconds: ${JSON.stringify(statuses)}`;
  },
});

const lists: Attack = {
  name: 'large lists',
  async run(trial) {
    const names = Array.from({ length: 60 }, (_, n) => `listed-${n}`);
    await make(trial, Object.fromEntries(names.map((name) => [name, destinationAt('webhook', 'http://127.0.0.1:9')])));
    // Paused, so that nothing is sent: what is attacked is how they are shown.
    for (const name of names) await trial.api('POST', `/destinations/${name}/pause`, {});
    const body = JSON.stringify({ message: { title: 'listed', body: 'x'.repeat(32_000) }, destinations: names });
    for (let n = 0; n < 100; n += 5) {
      await Promise.all([1, 2, 3, 4, 5].map(() => trial.api('POST', '/broadcasts', body)));
    }
    const asked = ['/broadcasts?limit=200', '/deliveries?limit=200', '/destinations?limit=200'];
    const answers = await Promise.all([...asked, ...asked].map((path) => trial.api('GET', path)));
    const largest = Math.max(...answers.map(({ bytes }) => bytes));
    trial.check(
      answers.every(({ status }) => status === 200),
      answers.map(({ status }) => status).join(', '),
    );
    trial.check(largest <= 16_000_000, `the largest page has ${(largest / 1e6).toFixed(1)} MB`);
    return '100 broadcasts of 32 kB to 60 places, every list asked for twice at once';
  },
  leaves: true,
};

const streams: Attack = {
  name: 'every place for event streams, by one key',
  async run(trial) {
    const keyOf = async (name: string) => {
      const { body } = await trial.api('POST', '/keys', { name, scopes: ['read'] });
      trial.target.hide(body.key);
      return body.key as string;
    };
    const [greedy, other] = [await keyOf('greedy'), await keyOf('other')];
    const statuses: Record<string, number> = {};
    const open = (key: string) =>
      new Promise<number>((resolve, reject) => {
        const request = get(`${trial.target.url}/events`, {
          headers: { authorization: `Bearer ${key}` },
          agent: false,
        });
        request.on('response', (response) => {
          response.on('error', () => {});
          response.resume();
          resolve(response.statusCode ?? 0);
        });
        request.on('error', reject);
        trial.later(() => request.destroy());
      });
    for (let n = 0; n < 260; n += 20) {
      for (const status of await Promise.all(Array.from({ length: 20 }, () => open(greedy)))) {
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    }
    const another = await open(other);
    trial.check(another === 200, `another key was answered ${another}`);
    return `260 streams asked for by one key: ${JSON.stringify(statuses)}`;
  },
};

export const floods: readonly Attack[] = [open('/metrics'), open('/openapi.yaml'), lists, streams];
