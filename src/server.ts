import { pathToFileURL } from 'node:url';
import { buildApp } from './api/app.ts';
import { ensureFirstKey, safeHost } from './api/auth.ts';
import { type Config, leastKey } from './config.ts';
import { applyConfigFile } from './declare.ts';
import { assertKey } from './key.ts';
import { listen } from './ledger/listen.ts';
import type { Log } from './log.ts';
import { type Opened, open } from './open.ts';
import { openQueueBackend, type QueueBackend } from './queue/backend.ts';
import { run } from './run.ts';
import { StartError } from './start-error.ts';

/** Why nothing can be listened on, and what to do. */
const remedies: Record<string, string> = {
  EADDRINUSE: 'is taken by another program: end it, or set PORT.',
  EACCES: 'may not be opened by this user: set PORT to one above 1023.',
  EADDRNOTAVAIL: 'cannot be opened, because this machine does not have that address: correct HOST.',
  ENOTFOUND: 'cannot be opened, because that name has no address: correct HOST.',
};

/**
 * Serves the API. It adds no jobs: the queue is only asked whether it lives.
 * Resolves when it listens; the result stops it, letting requests under way finish.
 */
export async function serve(
  config: Config,
  { db, vault, network }: Opened,
  backend: Pick<QueueBackend, 'reach'>,
  log: Log,
): Promise<{ url: string; stop(): Promise<void> }> {
  if (config.secretKeyLost)
    log.warn('TOCSIN_SECRET_KEY_LOST is set: whether the stored secrets can be opened is not checked');
  else await assertKey({ db, vault, log });
  const host = await safeHost(db, config);
  if (host !== config.host) {
    log.warn({ host: config.host }, 'there is no API key yet: listening on loopback only until the next start');
  }
  if (config.apiKey && config.apiKey.length < leastKey) {
    log.warn(
      { characters: config.apiKey.length },
      'TOCSIN_API_KEY is short enough to be guessed: `openssl rand -hex 32`',
    );
  }
  if (config.configFile) await applyConfigFile(config.configFile, { db, vault, config });
  const convergence = listen(db);
  const app = await buildApp({ config, db, vault, network, log, convergence, reachQueue: () => backend.reach() });
  const url = await app.listen({ host, port: config.port }).catch((error: Error & { code?: string }) => {
    const remedy = remedies[error.code ?? ''];
    throw remedy ? new StartError(`Port ${config.port} of ${host} ${remedy}`, { cause: error }) : error;
  });
  const key = await ensureFirstKey(db, config);
  if (key) {
    // Shown once, and not as a log line: collectors keep those.
    process.stderr.write(`\nThis is your API key. It is shown only now:\n\n    ${key}\n\n`);
  }
  return {
    url,
    async stop() {
      await convergence.close();
      await app.close();
    },
  };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  await run(async ({ config, log, later, ...ending }) => {
    const opened = later(await open(config, log, ending), ({ close }) => close());
    const { databaseUrl } = opened;
    const backend = later(await openQueueBackend({ ...config, databaseUrl }, log), ({ close }) => close());
    const { url } = later(await serve(config, opened, backend, log), ({ stop }) => stop());
    log.info({ url }, 'the API listens');
  });
}
