import { z } from 'zod';
import { listDestinations } from '../../ledger/list-destinations.ts';
import { putDestination } from '../../ledger/put-destination.ts';
import { removeDestination } from '../../ledger/remove-destination.ts';
import { Name } from '../broadcast-body.ts';
import { composeDestination, DestinationBody } from '../destination-body.ts';
import { Destination, mustReadDestination, representDestination } from '../destination-view.ts';
import { afterName, pageOf, pageSchema, paging } from '../paging.ts';
import type { App, Parts } from '../parts.ts';
import { notFound, problems } from '../problems.ts';

const tags = ['destinations'];
const params = z.object({ name: Name });

export function destinationRoutes(app: App, parts: Parts): void {
  const { db, vault, config } = parts;

  app.put(
    '/destinations/:name',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'putDestination',
        summary: 'Make or replace a destination',
        description:
          'Settings and secrets are checked by their kind. Replacing one closes its breaker and lets what waited for it go on. Its ' +
          'kind may change only while no delivery to it is open.',
        tags,
        params,
        body: DestinationBody,
        response: {
          200: Destination.describe('Replaced.'),
          201: Destination.describe('Created.'),
          ...problems(400, 401, 403, 409, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const rules = { vault, allowPrivateNetworks: config.allowPrivateNetworks };
      const done = await putDestination(db, name, (before) => composeDestination(name, request.body, before, rules));
      const row = await mustReadDestination(parts, name);
      return reply.code(done === 'created' ? 201 : 200).send(representDestination(row, vault));
    },
  );

  app.get(
    '/destinations/:name',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getDestination',
        summary: 'One destination and its health',
        tags,
        params,
        response: { 200: Destination, ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request) => representDestination(await mustReadDestination(parts, request.params.name), vault),
  );

  app.get(
    '/destinations',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listDestinations',
        summary: 'Destinations, newest first',
        tags,
        querystring: z.strictObject(paging),
        response: { 200: pageSchema(Destination), ...problems(400, 401, 403, 503) },
      },
    },
    async ({ query: { limit, cursor } }) =>
      pageOf('destinations', await listDestinations(db, { limit, after: afterName('destinations', cursor) }), (row) =>
        representDestination(row, vault),
      ),
  );

  app.delete(
    '/destinations/:name',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'deleteDestination',
        summary: 'Remove a destination',
        description: 'Refused while deliveries to it are open, or an audience or a fallback refers to it.',
        tags,
        params,
        response: { 204: z.null().describe('Removed.'), ...problems(400, 401, 403, 404, 409, 503) },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      if (!(await removeDestination(db, name))) throw notFound(`destination ${name}`);
      return reply.code(204).send(null);
    },
  );
}
