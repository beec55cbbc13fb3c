import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { StartError } from '../../start-error.ts';
import type { Address } from './address.ts';
import { PORT } from './address.ts';
import { discardStaleLocks, lingers, runningServer } from './cluster.ts';
import { type Hold, holdServer } from './hold.ts';
import { type Launch, launch, type Plan } from './launch.ts';

/** A server that is told to stop writes down what it has in memory first. */
const STOP_MS = 120_000;
/** A start that fails for an unknown reason is repeated so often. */
const STARTS = 4;
/** Reasons that pass: another starter was first, the port was taken after we chose it, or backends of a killed server have not left yet. */
const PASSING = /is still in use|lock file ".*" already exists|could not bind|Address already in use/;
/** A server that cannot take a claim just now, because it starts or recovers, is asked again for so long before it is stopped. */
const RECOVERY_MS = 10_000;

export interface Reached {
  address: Address;
  hold: Hold;
  joined: boolean;
}

/**
 * Tries to join until it works, and starts a server whenever there is none to join. When `signal` aborts, it leaves no server behind
 * that nobody else uses.
 *
 * @param patient repeats a failing start with growing waits until its time is over, whatever the reason
 */
export async function reachServer(
  plan: Plan,
  password: string,
  { patient = false, signal }: { patient?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<Reached> {
  const deadline = performance.now() + plan.patienceMs;
  let launched: Launch | undefined;
  let problem: unknown;
  let starts = 0;
  let nextStart = 0;
  while (performance.now() < deadline) {
    if (signal?.aborted) {
      await abandon(plan, password, launched);
      throw signal.reason;
    }
    const server = await runningServer(plan.data);
    if (server) {
      if (server.isReady && server.socketFolder !== plan.socketFolder) throw foreign(server.pid, plan);
      const address = { folder: plan.socketFolder, port: server.port };
      try {
        const hold = await holdServer(address, password);
        return { address, hold, joined: launched?.child.pid !== server.pid };
      } catch (error) {
        // Class 28 is a refused login, which waiting does not mend; all else is a server that starts or stops just now.
        if (String((error as { code?: string }).code).startsWith('28')) throw error;
        problem = error;
      }
    } else if (launched && !launched.ended) {
      // It has not written down yet that it runs.
    } else if (performance.now() >= nextStart) {
      if (launched) problem = await launched.complaint();
      if (starts >= STARTS && !patient && !PASSING.test(String(problem))) break;
      nextStart = performance.now() + Math.min(300 * 2 ** starts++, 5_000);
      await discardStaleLocks(plan.data, join(plan.socketFolder, `.s.PGSQL.${PORT}`));
      launched = await launch(plan);
    }
    await delay(25);
  }
  throw new Error(`The embedded PostgreSQL in ${plan.data} did not start: ${(problem as Error)?.message}`, {
    cause: problem,
  });
}

/** Stops the server unless somebody else uses it. For those who have no claim on it, or whose claim is lost. */
export async function abandon(plan: Plan, password: string, launched?: Launch): Promise<void> {
  const deadline = performance.now() + RECOVERY_MS;
  for (;;) {
    const server = await runningServer(plan.data);
    if (!server) break;
    try {
      const hold = await holdServer({ folder: plan.socketFolder, port: server.port }, password);
      return await hold.release(() => shutDown(plan.data));
    } catch (error) {
      if (performance.now() > deadline) {
        // Nobody has a claim on a server that starts or recovers: who waits for it starts another one.
        if (/^(57P03|ECONNREFUSED|ENOENT)$/.test((error as { code?: string }).code ?? '')) await shutDown(plan.data);
        else throw error;
      }
    }
    await delay(25);
  }
  if (!launched || launched.ended) return;
  launched.child.kill('SIGINT');
  while (!launched.ended) await delay(10);
}

/** PostgreSQL's fast shutdown: open sessions are ended, everything is written, nothing needs recovery at the next start. */
export async function shutDown(data: string): Promise<void> {
  const server = await runningServer(data);
  if (!server) return;
  process.kill(server.pid, 'SIGINT');
  const deadline = performance.now() + STOP_MS;
  // Not its lock file, which goes a moment before: whoever removes the folder next must not meet it still at work.
  while (await lingers(server.pid, data)) {
    if (performance.now() > deadline) throw new Error(`PostgreSQL ${server.pid} is still stopping after ${STOP_MS} ms`);
    await delay(10);
  }
}

/** A server without our socket listens where any program of this machine could take its place. */
function foreign(pid: number, plan: Plan): StartError {
  return new StartError(
    `The PostgreSQL that runs in ${plan.data} (process ${pid}) was not started by this version of Tocsin: ` +
      `end what uses it, then the server itself (kill -INT ${pid}), and start again.`,
  );
}
