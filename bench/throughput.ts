import { burst, warmUp } from './burst.ts';
import { cpuOf, memoryOf } from './measures.ts';
import { queues, type Stage, startStage } from './stage.ts';
import { table } from './table.ts';

const broadcasts = 500;
const destinations = Array.from({ length: 5 }, (_, n) => `place-${n}`);
const rounds = 2;

/** How many deliveries a second one API and one worker process carry end to end, and what each costs. Judges nothing. */
export async function run(): Promise<boolean> {
  const rows: string[][] = [];
  for (const queue of queues()) {
    const stage = await startStage(queue);
    try {
      for (const name of destinations) await stage.put(name, await stage.receivers.add(name), { concurrency: 16 });
      await warmUp(stage, destinations);
      const runs = [];
      for (let round = 0; round < rounds; round++) runs.push(await measured(stage));
      // The one that was disturbed least.
      rows.push([queue, ...(runs.sort((a, b) => b.rate - a.rate)[0]?.cells ?? [])]);
    } finally {
      await stage.stop();
    }
  }
  const head = ['queue', 'deliveries/s', 'CPU per delivery, µs: API', 'worker', 'PostgreSQL', 'Redis', 'WAL, bytes'];
  const title = `${broadcasts} broadcasts to ${destinations.length} webhooks each, posted as fast as they are accepted`;
  table({ title, rows: [[...head, 'worker RSS'], ...rows] });
  return true;
}

async function measured(stage: Stage): Promise<{ rate: number; cells: string[] }> {
  const total = broadcasts * destinations.length;
  const [cpu, wal] = [await cpuOf(stage), await walOf(stage)];
  const rate = await burst(stage, destinations, broadcasts);
  const [cpuAfter, walAfter] = [await cpuOf(stage), await walOf(stage)];
  const micros = (part: 'api' | 'workers' | 'postgres' | 'redis') =>
    cpu && cpuAfter ? (((cpuAfter[part] - cpu[part]) * 1e6) / total).toFixed(0) : 'n/a';
  const memory = await memoryOf(stage.pids.workers[0] ?? 0);
  return {
    rate,
    cells: [
      rate.toFixed(0),
      micros('api'),
      micros('workers'),
      micros('postgres'),
      micros('redis'),
      ((walAfter - wal) / total).toFixed(0),
      `${memory} MB`,
    ],
  };
}

async function walOf({ db }: Stage): Promise<number> {
  const { rows } = await db.query<{ bytes: string }>(`select pg_current_wal_lsn() - '0/0' as bytes`);
  return Number(rows[0]?.bytes);
}
