import type { RunningArm } from './arms.ts';
import { type Burst, burst, type Sink } from './driver.ts';
import { familySecondsOf } from './measures.ts';

/** The parts whose processor time is counted. */
export const parts = ['api', 'worker', 'redis', 'postgres'] as const;
export type Part = (typeof parts)[number];

export interface Measured extends Burst {
  /** Processor time in microseconds per delivery. */
  cpu: Record<Part, number>;
  /** Bytes of write-ahead log per delivery; null without PostgreSQL. */
  wal: number | null;
}

/** A burst, and what each of its deliveries cost. */
export async function measured(running: RunningArm, sink: Sink, broadcasts: number, tag: string): Promise<Measured> {
  const [cpu, wal] = [await secondsOf(running), await walOf(running)];
  const seen = await burst(running, sink, broadcasts, tag);
  const [cpuAfter, walAfter] = [await secondsOf(running), await walOf(running)];
  const micros = (part: Part) => ((cpuAfter[part] - cpu[part]) * 1e6) / seen.deliveries;
  return {
    ...seen,
    cpu: { api: micros('api'), worker: micros('worker'), redis: micros('redis'), postgres: micros('postgres') },
    wal: wal !== null && walAfter !== null ? (walAfter - wal) / seen.deliveries : null,
  };
}

/** Processor time in seconds of each part since its start. */
export async function secondsOf({ pids }: RunningArm): Promise<Record<Part, number>> {
  const seconds = async (part: Part) => {
    const each = await Promise.all(pids[part].map((pid) => familySecondsOf(pid)));
    return each.reduce((sum, one) => sum + one, 0);
  };
  return {
    api: await seconds('api'),
    worker: await seconds('worker'),
    redis: await seconds('redis'),
    postgres: await seconds('postgres'),
  };
}

async function walOf({ db }: RunningArm): Promise<number | null> {
  const answer = await db?.query<{ bytes: string }>(`select pg_current_wal_lsn() - '0/0' as bytes`);
  return answer ? Number(answer.rows[0]?.bytes) : null;
}

/** The middle value, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}
