import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Parts, Worker } from './parts.ts';
import type { Random } from './random.ts';
import type { PostgresServer } from './servers.ts';

/** From when to when something stood still that the others had to do without. */
export interface Absence {
  from: Date;
  to: Date;
}

/** How often a worker is caught before its sessions were within a transaction, and how long one is looked at, in milliseconds. */
const tries = 80;
const lookMs = 250;

/**
 * SIGSTOP, then SIGCONT. It is stopped within a transaction, where it holds locks that the others meet: a process that stands still
 * between two statements keeps them.
 */
export async function freezeWorker(
  { postgres }: Parts,
  worker: Worker,
  forMs: number,
): Promise<Absence & { within: number }> {
  await worker.ready();
  const client = await watching(postgres);
  try {
    let within = 0;
    let from = new Date();
    for (let n = 0; n < tries && within === 0; n += 1) {
      if ((await inTransaction(client, worker, 0)) === 0) {
        await delay(10);
        continue;
      }
      worker.send('SIGSTOP');
      from = new Date();
      await delay(lookMs);
      within = await inTransaction(client, worker, lookMs / 2);
      if (within === 0 && n < tries - 1) worker.send('SIGCONT');
    }
    worker.send('SIGSTOP');
    await delay(forMs);
    return { from, to: new Date(), within };
  } finally {
    worker.send('SIGCONT');
    await client.end().catch(() => {});
  }
}

/** Its machine loses its power: nobody tells PostgreSQL that its connections are gone, and it goes on somewhere else. */
export async function vanish(
  { postgres }: Parts,
  worker: Worker,
  forMs: number,
): Promise<Absence & { within: number }> {
  await worker.ready();
  const client = await watching(postgres);
  const { proxy } = worker.line;
  try {
    for (let n = 0; n < tries && (await inTransaction(client, worker, 0)) === 0; n += 1) await delay(10);
    proxy.swallow();
    const from = new Date();
    await delay(lookMs);
    const within = await inTransaction(client, worker, lookMs / 2);
    await worker.kill('SIGKILL');
    await delay(forMs);
    return { from, to: new Date(), within };
  } finally {
    // Only now PostgreSQL hears of it, long before its own keepalives would tell it.
    proxy.heal();
    await client.end().catch(() => {});
  }
}

/** Some of the server's processes that serve a session each. Whatever they hold, they hold until they go on. */
export async function freezeBackends(postgres: PostgresServer, random: Random, forMs: number): Promise<Absence> {
  const client = await watching(postgres);
  let frozen: number[] = [];
  const from = new Date();
  try {
    const postmaster = await postgres.pid();
    const { rows } = await client.query<{ pid: number }>(
      `select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() order by pid`,
    );
    const chosen = random.shuffled(rows.map(({ pid }) => pid)).slice(0, random.int(1, 3));
    // A pid that was given to somebody else meanwhile is left alone.
    const own = await Promise.all(chosen.map(async (pid) => (await parentOf(pid)) === postmaster));
    frozen = chosen.filter((_, n) => own[n]);
    for (const pid of frozen) process.kill(pid, 'SIGSTOP');
    await delay(forMs);
    return { from, to: new Date() };
  } finally {
    for (const pid of frozen) {
      try {
        process.kill(pid, 'SIGCONT');
      } catch {
        // It ended meanwhile, which the server does when it is told to.
      }
    }
    await client.end().catch(() => {});
  }
}

async function watching(postgres: PostgresServer): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: postgres.directUrl(), application_name: 'chaos' });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** How many of its sessions are within a transaction, and have said nothing for so long. */
async function inTransaction(client: pg.Client, { line }: Worker, silentMs: number): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity
      where client_port = any($1) and state = 'idle in transaction'
        and clock_timestamp() - state_change >= make_interval(secs => $2)`,
    [line.proxy.ports(), silentMs / 1_000],
  );
  return rows[0]?.n ?? 0;
}

async function parentOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
}
