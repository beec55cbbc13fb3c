// Everything in one process: what `npm start` runs. To scale out, run src/server.ts and workers/main.ts apart.
import { open } from './src/open.ts';
import { openQueueBackend } from './src/queue/backend.ts';
import { run } from './src/run.ts';
import { serve } from './src/server.ts';
import { startWorkers } from './workers/index.ts';

await run(async ({ config, log, later, ...ending }) => {
  const opened = later(await open(config, log, ending), ({ close }) => close());
  const { databaseUrl } = opened;
  const backend = later(await openQueueBackend({ ...config, databaseUrl }, log), ({ close }) => close());
  later(await startWorkers({ ...opened, backend, log }), ({ stop }) => stop());
  const { url } = later(await serve(config, opened, backend, log), ({ stop }) => stop());
  log.info({ url, queue: backend.kind, docs: `${url}/docs` }, 'Tocsin listens');
});
