import { createNetwork } from '../destinations/network.ts';
import { openDatabase } from '../ledger/database.ts';
import { createLog } from '../log.ts';
import { createVault } from '../secrets.ts';
import { buildApp } from './app.ts';
import { openapiYaml } from './openapi.ts';

/** The OpenAPI document of the whole API as YAML. Needs nothing around it: no database is connected to. */
export async function describeApi(): Promise<string> {
  const db = openDatabase('postgres://localhost/nothing');
  const network = createNetwork({ allowPrivateNetworks: false });
  const app = await buildApp({
    config: { apiKey: null, allowPrivateNetworks: false, maxBacklog: Number.POSITIVE_INFINITY },
    db,
    network,
    vault: createVault(Buffer.alloc(32)),
    log: createLog('silent'),
    convergence: { wait: async () => {}, onHint: () => () => {}, close: async () => {} },
    reachQueue: async () => {},
  });
  try {
    await app.ready();
    return openapiYaml(app);
  } finally {
    await app.close();
    await network.close();
    await db.end();
  }
}
