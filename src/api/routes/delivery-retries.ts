import { z } from 'zod';
import { knowsDestination } from '../../ledger/knows-destination.ts';
import { readDelivery } from '../../ledger/read-delivery.ts';
import { representAttempt, representDelivery } from '../../ledger/represent.ts';
import { countRetryable, retry, retryableStates } from '../../ledger/retry.ts';
import { assertMayChange } from '../makers.ts';
import type { App, Parts } from '../parts.ts';
import { invalid, notFound, Problem, problems } from '../problems.ts';
import { asDate, asList, DeliveryWithAttempts, Moment, oneOrMore, RetryableState } from '../schemas.ts';

const tags = ['deliveries'];

const Replay = z
  .strictObject({
    state: oneOrMore(RetryableState).describe('Default `dead`.'),
    destination: z.string().optional(),
    since: Moment.optional().describe('Ended at or after this time.'),
    until: Moment.optional().describe('Ended before this time.'),
    dryRun: z.boolean().default(false).describe('Only count them.'),
  })
  .meta({ id: 'Replay', example: { state: 'dead', destination: 'slack-incidents', dryRun: true } });

const Replayed = z.object({ matched: z.int(), retried: z.int() }).meta({ id: 'Replayed' });

export function deliveryRetryRoutes(app: App, { db }: Parts): void {
  app.post(
    '/deliveries/:id/retry',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'retryDelivery',
        summary: 'Try one delivery again',
        description: 'One that may have landed is looked for first, where the service can be asked.',
        tags,
        params: z.object({ id: z.string() }),
        body: z.strictObject({}).optional(),
        response: {
          202: DeliveryWithAttempts.describe('It is open again.'),
          ...problems(400, 401, 403, 404, 409, 503),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await assertMayChange(db, request.caller, { delivery: id });
      const retried = await retry(db, { states: retryableStates, id });
      const read = await readDelivery(db, id);
      if (!read) throw notFound(`delivery ${id}`);
      const delivery = { ...representDelivery(read.delivery), attempts: read.attempts.map(representAttempt) };
      if (retried === 0) {
        const detail = `Delivery ${id} is ${delivery.state}; only ${retryableStates.join(', ')} ones whose destination exists can be tried again.`;
        throw new Problem(409, 'not-retryable', detail);
      }
      return reply.code(202).send(delivery);
    },
  );

  app.post(
    '/deliveries/retry',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'retryDeliveries',
        summary: 'Try many deliveries again',
        description: "They go out at their destination's own rate.",
        tags,
        body: Replay,
        response: { 200: Replayed, ...problems(400, 401, 403, 422, 503) },
      },
    },
    async ({ body: { state, destination, since, until, dryRun } }) => {
      if (destination !== undefined && !(await knowsDestination(db, destination))) {
        const detail = `there is no destination ${destination}, and never was a delivery to it`;
        throw invalid([{ pointer: '/destination', detail }], 422);
      }
      const states = asList(state) ?? ['dead' as const];
      const filter = { states, destination, since: asDate(since) ?? undefined, until: asDate(until) ?? undefined };
      if (dryRun) return { matched: await countRetryable(db, filter), retried: 0 };
      const retried = await retry(db, filter);
      return { matched: retried, retried };
    },
  );
}
