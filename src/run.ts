import { type Config, ConfigError, loadConfig } from './config.ts';
import { createLog, type Log } from './log.ts';
import { SecretKeyError } from './secrets.ts';
import { StartError } from './start-error.ts';

/** How long an orderly end may take, in milliseconds; orchestrators commonly kill after thirty seconds. */
const endMs = 25_000;

/** What a process starts its parts with. */
export interface Running {
  config: Config;
  log: Log;
  /** Notes how a part is ended as soon as it has begun. Throws when the process ends already. */
  later<T>(part: T, end: (part: T) => Promise<void>): T;
  /** Aborts when the process is to end: a start that is still under way stops, and ends what it began. */
  signal: AbortSignal;
  /** Ends the process in order, with a failure, because a part of it failed for good. */
  fail(error: Error): void;
}

/**
 * Runs a process: starts its parts, and ends them in reverse order on SIGTERM or SIGINT, or when a start fails. A signal during the
 * start ends what has begun by then.
 */
export async function run(start: (running: Running) => Promise<void>): Promise<void> {
  const config = configured();
  const log = createLog(config.logLevel);
  const ends: (() => Promise<void>)[] = [];
  const stopping = new AbortController();
  let starting: Promise<unknown> = Promise.resolve();
  let ending: Promise<void> | undefined;

  const endAll = async () => {
    // A part that never ends must not keep a machine from shutting down: what it held is recovered from the ledger.
    const late = setTimeout(() => {
      log.error('the orderly end took too long; leaving the rest to recovery');
      process.exit(1);
    }, endMs);
    stopping.abort();
    await starting.catch(() => {});
    for (const end of ends.reverse())
      await end().catch((error) => log.error({ err: error }, 'a part did not end in order'));
    clearTimeout(late);
  };
  const end = () => {
    ending ??= endAll();
    return ending;
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      log.info({ signal }, 'ending');
      void end().then(() => process.exit(0));
    });
  }
  const tell = (error: unknown, otherwise: string) => {
    // What a person can mend is told to that person; what we did not foresee is told whole.
    if (error instanceof StartError || error instanceof SecretKeyError) process.stderr.write(`${error.message}\n`);
    else log.fatal({ err: error }, error instanceof Error ? error.message : otherwise);
  };
  const fail: Running['fail'] = (error) => {
    tell(error, 'a part failed');
    void end().then(() => process.exit(1));
  };
  const later: Running['later'] = (part, endPart) => {
    ends.push(() => endPart(part));
    stopping.signal.throwIfAborted();
    return part;
  };
  starting = start({ config, log, later, signal: stopping.signal, fail });
  try {
    await starting;
  } catch (error) {
    if (ending) return;
    tell(error, 'the start failed');
    await end();
    process.exit(1);
  }
}

function configured(): Config {
  try {
    return loadConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(2);
  }
}
