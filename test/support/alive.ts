import { readFileSync } from 'node:fs';

/** Whether a process still runs. One that has ended and was not yet buried by its parent, a zombie, does not: it only answers signals. */
export function alive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
