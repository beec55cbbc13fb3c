import pg from 'pg';
import type { Sandbox, Service } from '../../sandbox/index.ts';
import { until } from '../support/until.ts';
import type { Supervised } from './supervise.ts';

/** After every worker was killed at once: seconds from the first one's new life. */
export interface Recovery {
  /** How many deliveries were in flight. */
  inFlight: number;
  /** Until any delivery was attempted. */
  firstS: number;
  /** Until each of those in flight had moved on; Infinity: not as long as this was watched. */
  theirsS: number;
}

/** The services that are made slow for a moment, so that something is in flight when the workers die. */
const services: Service[] = ['slack', 'graph', 'jira', 'pagerduty', 'webhook'];

/** Well past the half minute that is promised: what takes longer is reported, not waited for. */
const patienceMs = 90_000;

/** Kills every worker while they are at it, and measures how long their deliveries take to move again. */
export async function killOnlyWorker(
  workers: readonly Supervised[],
  sandbox: Sandbox,
  databaseUrl: () => string,
): Promise<Recovery> {
  await Promise.all(workers.map((worker) => worker.ready()));
  const client = new pg.Client({ connectionString: databaseUrl() });
  await client.connect();
  try {
    for (const service of services) sandbox.misbehave(service, { do: 'slow', ms: 4_000, times: 2 });
    await until('something to be in flight', async () => (await sending(client)).length > 0, { timeoutMs: 15_000 });
    await Promise.all(workers.map((worker) => worker.kill('SIGKILL')));
    const before = await sending(client);
    const { now: killedAt } = (await client.query<{ now: Date }>('select now()')).rows[0] ?? { now: new Date() };
    const reborn = await until('a worker to be started again', () =>
      Math.min(...workers.map(({ bornAt }) => bornAt ?? Number.POSITIVE_INFINITY)) < Number.POSITIVE_INFINITY
        ? workers.map(({ bornAt }) => bornAt ?? Number.POSITIVE_INFINITY).sort((one, other) => one - other)[0]
        : null,
    );
    const sinceS = () => (performance.now() - reborn) / 1_000;

    const options = { timeoutMs: patienceMs, everyMs: 100 };
    const attempted = until(
      'any delivery to be attempted',
      async () => (await client.query('select from attempts where started_at > $1 limit 1', [killedAt])).rowCount,
      options,
    );
    const firstS = await attempted.then(sinceS, () => Number.POSITIVE_INFINITY);
    const moved = until('what was in flight to move', async () => (await stuck(client, before)) === 0, options);
    // Told as late in the report; what never moves is found by the audit.
    const theirsS = await moved.then(sinceS, () => Number.POSITIVE_INFINITY);
    return { inFlight: before.length, firstS, theirsS };
  } finally {
    await client.end().catch(() => {});
  }
}

interface InFlight {
  id: string;
  claims: number;
}

async function sending(client: pg.Client): Promise<InFlight[]> {
  return (await client.query<InFlight>(`select id, claims from deliveries where state = 'sending'`)).rows;
}

async function stuck(client: pg.Client, before: readonly InFlight[]): Promise<number> {
  const { rowCount } = await client.query(
    `select from deliveries d join jsonb_to_recordset($1::jsonb) as b (id text, claims integer) using (id)
      where d.state = 'sending' and d.claims = b.claims`,
    [JSON.stringify(before)],
  );
  return rowCount ?? 0;
}
