import { type createPostgresBackend, PostgresConnection, PostgresQueueBackend } from 'bullmq';

/**
 * BullMQ's PostgreSQL backend, mended in the two places where an outage would end or exhaust the process (BullMQ 6.7). It is
 * BullMQ's own `createPostgresBackend` otherwise; opening the backend has already checked the schema.
 */
export const createSteadyBackend: typeof createPostgresBackend = (name, options, { withBlockingConnection } = {}) =>
  new SteadyBackend(
    new SteadyConnection(options.connection),
    name,
    options,
    true,
    withBlockingConnection ? name : undefined,
  );

class SteadyConnection extends PostgresConnection {
  /**
   * The original looks at the schema once and remembers a failure for ever: a queue opened while the database is away never worked
   * again, and its worker, refused without a moment's wait, kept the whole process busy for good.
   */
  override async waitUntilReady(): Promise<void> {}
}

class SteadyBackend extends PostgresQueueBackend {
  /**
   * A worker whose fetch fails tries again at once, except after a refused connection: then it rests for `runRetryDelay`. A connection
   * that was cut, or a server that is just starting, deserves the same.
   */
  override async moveToActive(
    ...given: Parameters<PostgresQueueBackend['moveToActive']>
  ): ReturnType<PostgresQueueBackend['moveToActive']> {
    try {
      return await super.moveToActive(...given);
    } catch (error) {
      // Not lost: what a worker rests for, it does not report.
      this.emit('error', error);
      throw Object.assign(new Error('the next job could not be fetched', { cause: error }), { code: 'ECONNREFUSED' });
    }
  }
}
