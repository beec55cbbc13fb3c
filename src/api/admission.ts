import { type Severity, severities } from '../message.ts';
import { Problem } from './problems.ts';

/**
 * How many requests of a severity may be under way before more of it is turned away. A thousand take the ledger a tenth of a
 * second or two; a queue much longer than that only makes everyone time out. Each more important severity gets twice the room.
 */
const roomForInfo = 1_000;
const retryAfterSeconds = 2;

export interface Admission {
  /** Runs the work, or throws a 503 when there is no room for this severity. */
  run<T>(severity: Severity, work: () => Promise<T>): Promise<T>;
}

/** Keeps the door open for what matters: `info` is shed first, `critical` last. */
export function createAdmission(room = roomForInfo): Admission {
  let underWay = 0;
  return {
    async run(severity, work) {
      const steps = severities.length - 1 - severities.indexOf(severity);
      if (underWay >= room * 2 ** steps) {
        throw new Problem(503, 'overloaded', `Too much is under way to take on more of severity ${severity}.`, {
          headers: { 'retry-after': String(retryAfterSeconds) },
        });
      }
      underWay += 1;
      try {
        return await work();
      } finally {
        underWay -= 1;
      }
    },
  };
}
