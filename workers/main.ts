import { open } from '../src/open.ts';
import { openQueueBackend } from '../src/queue/backend.ts';
import { run } from '../src/run.ts';
import { startWorkers } from './index.ts';

await run(async ({ config, log, later, ...ending }) => {
  const opened = later(await open(config, log, ending), ({ close }) => close());
  const { databaseUrl } = opened;
  const backend = later(await openQueueBackend({ ...config, databaseUrl }, log), ({ close }) => close());
  later(await startWorkers({ ...opened, backend, log }), ({ stop }) => stop());
  log.info({ queue: backend.kind }, 'the workers run');
});
