import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Stage } from './stage.ts';

/** Processor time in seconds since its start of each part of a stage; of PostgreSQL with all its processes. Null off Linux. */
export async function cpuOf({ pids }: Stage): Promise<Record<'api' | 'workers' | 'postgres' | 'redis', number> | null> {
  try {
    const workers = await Promise.all(pids.workers.map((pid) => secondsOf(pid)));
    return {
      api: await secondsOf(pids.api),
      workers: workers.reduce((sum, each) => sum + each, 0),
      postgres: await familySecondsOf(pids.postgres),
      redis: pids.redis ? await secondsOf(pids.redis) : 0,
    };
  } catch {
    return null;
  }
}

/** Resident memory in megabytes; null off Linux. */
export async function memoryOf(pid: number): Promise<number | null> {
  try {
    const kilobytes = /VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1];
    return Math.round(Number(kilobytes) / 1024);
  } catch {
    return null;
  }
}

/** How many sockets a process has open. Linux only. */
export async function socketsOf(pid: number): Promise<number> {
  const folder = `/proc/${pid}/fd`;
  const targets = await Promise.all((await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`).catch(() => '')));
  return targets.filter((target) => target.startsWith('socket:')).length;
}

/** The nearest-rank percentile. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

interface Stat {
  parent: number;
  own: number;
  ofEndedChildren: number;
}

/** https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; in hundredths of a second, as on every Linux of today. */
async function statOf(pid: number): Promise<Stat> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8');
  const fields = text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const at = (n: number) => fields[n - 3] ?? 0;
  return { parent: at(4), own: (at(14) + at(15)) / 100, ofEndedChildren: (at(16) + at(17)) / 100 };
}

async function secondsOf(pid: number): Promise<number> {
  return (await statOf(pid)).own;
}

/** Processor time in seconds of a process and its children, ended ones included. Linux only. */
export async function familySecondsOf(pid: number): Promise<number> {
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const stats = await Promise.all(all.map((each) => statOf(Number(each)).catch(() => null)));
  const { own, ofEndedChildren } = await statOf(pid);
  return stats.reduce((sum, stat) => sum + (stat?.parent === pid ? stat.own : 0), own + ofEndedChildren);
}
