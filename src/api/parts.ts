import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import type { Registry } from 'prom-client';
import type { Config } from '../config.ts';
import type { Network } from '../destinations/network.ts';
import type { Database } from '../ledger/database.ts';
import type { Convergence } from '../ledger/listen.ts';
import type { Log } from '../log.ts';
import type { Vault } from '../secrets.ts';

/** What the application is made of. Whoever builds it also ends these. */
export interface Parts {
  config: Pick<Config, 'apiKey' | 'allowPrivateNetworks' | 'maxBacklog'>;
  db: Database;
  vault: Vault;
  network: Network;
  log: Log;
  convergence: Convergence;
  /** Rejects while the queue's server cannot be reached. */
  reachQueue(): Promise<void>;
  /** Where other rooms' metrics are; the API adds its own. */
  registry?: Registry;
}

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  ZodTypeProvider
>;
