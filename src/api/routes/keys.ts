import { z } from 'zod';
import { newId } from '../../ids.ts';
import { addKey } from '../../ledger/add-key.ts';
import { listKeys } from '../../ledger/list-keys.ts';
import { removeKey } from '../../ledger/remove-key.ts';
import type { KeyRow } from '../../ledger/rows.ts';
import { type Gate, hashKey, newKey, scopes } from '../auth.ts';
import { afterId, pageOf, pageSchema, paging } from '../paging.ts';
import type { App, Parts } from '../parts.ts';
import { notFound, problems } from '../problems.ts';

const Scopes = z.array(z.enum(scopes)).min(1).max(scopes.length);

const KeyBody = z
  .strictObject({
    name: z.string().min(1).max(128).describe('Whose it is, for the list.'),
    scopes: Scopes.describe('`admin` includes the others.'),
  })
  .meta({ id: 'NewKey', example: { name: 'alertmanager', scopes: ['send'] } });

const key = { id: z.string(), name: z.string(), scopes: Scopes, createdAt: z.string() };
const Key = z.object(key).meta({ id: 'Key' });
const ShownKey = z
  .object({ ...key, key: z.string().describe('Shown this once; only its hash is stored.') })
  .meta({ id: 'ShownKey' });

const tags = ['keys'];

export function keyRoutes(app: App, { db }: Parts, gate: Gate): void {
  app.post(
    '/keys',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'createKey',
        summary: 'Make an API key',
        tags,
        body: KeyBody,
        response: { 201: ShownKey.describe('Made.'), ...problems(400, 401, 403, 503) },
      },
    },
    async (request, reply) => {
      const { name, scopes } = request.body;
      const key = newKey();
      const row = await addKey(db, { id: newId('key'), name, hash: hashKey(key), scopes: [...new Set(scopes)] });
      return reply
        .code(201)
        .header('cache-control', 'no-store')
        .send({ ...represent(row), key });
    },
  );

  app.get(
    '/keys',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'listKeys',
        summary: 'API keys, newest first, without the keys themselves',
        tags,
        querystring: z.strictObject(paging),
        response: { 200: pageSchema(Key), ...problems(400, 401, 403, 503) },
      },
    },
    async ({ query: { limit, cursor } }) =>
      pageOf('keys', await listKeys(db, { limit, after: afterId('keys', cursor) }), represent),
  );

  app.delete(
    '/keys/:id',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'deleteKey',
        summary: 'Withdraw an API key',
        description: 'Other processes may honour it for a few seconds more.',
        tags,
        params: z.object({ id: z.string() }),
        response: { 204: z.null().describe('Withdrawn.'), ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const removed = await removeKey(db, id);
      gate.forget();
      if (!removed) throw notFound(`key ${id}`);
      return reply.code(204).send(null);
    },
  );
}

function represent({ id, name, scopes, created_at }: KeyRow) {
  return { id, name, scopes, createdAt: created_at.toISOString() };
}
