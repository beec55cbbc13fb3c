import { z } from 'zod';
import { listDeliveries } from '../../ledger/list-deliveries.ts';
import { readDelivery } from '../../ledger/read-delivery.ts';
import { representAttempt, representDelivery } from '../../ledger/represent.ts';
import { afterId, pageOf, pageSchema, paging } from '../paging.ts';
import type { App, Parts } from '../parts.ts';
import { notFound, problems } from '../problems.ts';
import { asDate, asList, Delivery, DeliveryState, DeliveryWithAttempts, oneOrMore, window } from '../schemas.ts';

export function deliveryRoutes(app: App, { db }: Parts): void {
  app.get(
    '/deliveries',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listDeliveries',
        summary: 'Deliveries, newest first, callbacks too',
        tags: ['deliveries'],
        querystring: z.strictObject({
          ...paging,
          state: oneOrMore(DeliveryState),
          destination: z.string().optional(),
          broadcast: z.string().optional().describe("A broadcast's id."),
          ...window,
        }),
        response: { 200: pageSchema(Delivery), ...problems(400, 401, 403, 503) },
      },
    },
    async ({ query }) => {
      const { state, destination = null, broadcast = null, since, until, limit, cursor } = query;
      const page = await listDeliveries(
        db,
        { states: asList(state), destination, broadcast, since: asDate(since), until: asDate(until) },
        { limit, after: afterId('deliveries', cursor) },
      );
      return pageOf('deliveries', page, representDelivery);
    },
  );

  app.get(
    '/deliveries/:id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getDelivery',
        summary: 'One delivery and the attempts at it',
        tags: ['deliveries'],
        params: z.object({ id: z.string() }),
        response: { 200: DeliveryWithAttempts, ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request) => {
      const { id } = request.params;
      const read = await readDelivery(db, id);
      if (!read) throw notFound(`delivery ${id}`);
      return {
        ...representDelivery(read.delivery),
        attempts: read.attempts.map(representAttempt),
        ...(read.leftOut > 0 && { attemptsLeftOut: read.leftOut }),
      };
    },
  );
}
