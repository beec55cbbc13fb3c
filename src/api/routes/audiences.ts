import { z } from 'zod';
import { listAudiences } from '../../ledger/list-audiences.ts';
import { putAudience } from '../../ledger/put-audience.ts';
import { readAudience } from '../../ledger/read-audience.ts';
import { removeAudience } from '../../ledger/remove-audience.ts';
import type { AudienceRow } from '../../ledger/rows.ts';
import { Name } from '../broadcast-body.ts';
import { AudienceBody } from '../destination-body.ts';
import { afterName, pageOf, pageSchema, paging } from '../paging.ts';
import type { App, Parts } from '../parts.ts';
import { notFound, problems } from '../problems.ts';

const Audience = z
  .object({ name: z.string(), destinations: z.array(z.string()), createdAt: z.string(), updatedAt: z.string() })
  .meta({ id: 'Audience' });

const tags = ['audiences'];
const params = z.object({ name: Name });

export function audienceRoutes(app: App, { db }: Parts): void {
  async function mustRead(name: string) {
    const row = await readAudience(db, name);
    if (!row) throw notFound(`audience ${name}`);
    return represent(row);
  }

  app.put(
    '/audiences/:name',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'putAudience',
        summary: 'Make or replace an audience',
        tags,
        params,
        body: AudienceBody,
        response: {
          200: Audience.describe('Replaced.'),
          201: Audience.describe('Created.'),
          ...problems(400, 401, 403, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const done = await putAudience(db, name, [...new Set(request.body.destinations)]);
      return reply.code(done === 'created' ? 201 : 200).send(await mustRead(name));
    },
  );

  app.get(
    '/audiences/:name',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getAudience',
        summary: 'One audience',
        tags,
        params,
        response: { 200: Audience, ...problems(400, 401, 403, 404, 503) },
      },
    },
    (request) => mustRead(request.params.name),
  );

  app.get(
    '/audiences',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listAudiences',
        summary: 'Audiences, newest first',
        tags,
        querystring: z.strictObject(paging),
        response: { 200: pageSchema(Audience), ...problems(400, 401, 403, 503) },
      },
    },
    async ({ query: { limit, cursor } }) =>
      pageOf('audiences', await listAudiences(db, { limit, after: afterName('audiences', cursor) }), represent),
  );

  app.delete(
    '/audiences/:name',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'deleteAudience',
        summary: 'Remove an audience',
        tags,
        params,
        response: { 204: z.null().describe('Removed.'), ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      if (!(await removeAudience(db, name))) throw notFound(`audience ${name}`);
      return reply.code(204).send(null);
    },
  );
}

function represent({ name, destinations, created_at, updated_at }: AudienceRow) {
  return { name, destinations, createdAt: created_at.toISOString(), updatedAt: updated_at.toISOString() };
}
