import { z } from 'zod';
import { cancel } from '../../ledger/cancel.ts';
import { retry, retryableStates } from '../../ledger/retry.ts';
import { retract, revise } from '../../ledger/revise.ts';
import { Message } from '../../message.ts';
import type { App, Parts } from '../parts.ts';
import { notFound, Problem, problems } from '../problems.ts';
import { Broadcast, RetryableState } from '../schemas.ts';
import { mustRead, represented } from './broadcasts.ts';

const tags = ['broadcasts'];
const params = z.object({ id: z.string() });
const Revision = z.strictObject({ message: Message }).meta({ id: 'Revision' });
const response = {
  202: Broadcast.describe('Recorded; the destinations follow.'),
  ...problems(400, 401, 403, 404, 503),
};

export function broadcastChangeRoutes(app: App, parts: Parts): void {
  const { db } = parts;
  const read = async (id: string) => represented(await mustRead(parts, id));

  app.patch(
    '/broadcasts/:id',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'reviseBroadcast',
        summary: 'Say it anew',
        description:
          'Makes the next revision: copies already delivered are edited, deliveries still open send the new text.',
        tags,
        params,
        body: Revision,
        response: { ...response, ...problems(409) },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const done = await revise(db, id, request.body.message);
      if (done === 'missing') throw notFound(`broadcast ${id}`);
      if (done === 'retracted')
        throw new Problem(409, 'retracted', `Broadcast ${id} was retracted: send a new one instead.`);
      return reply.code(202).send(await read(id));
    },
  );

  app.post(
    '/broadcasts/:id/cancel',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'cancelBroadcast',
        summary: 'Stop what is not yet sent',
        description:
          'What is being sent right now settles first. What was delivered stays: retract it to take it back.',
        tags,
        params,
        body: z.strictObject({}).optional(),
        response,
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      if (!(await cancel(db, id))) throw notFound(`broadcast ${id}`);
      return reply.code(202).send(await read(id));
    },
  );

  app.post(
    '/broadcasts/:id/retract',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'retractBroadcast',
        summary: 'Take it back',
        description:
          "Deletes what was delivered, or strikes it where the service can't delete. Twice is the same as once.",
        tags,
        params,
        body: z.strictObject({}).optional(),
        response,
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      if ((await retract(db, id)) === 'missing') throw notFound(`broadcast ${id}`);
      return reply.code(202).send(await read(id));
    },
  );

  app.post(
    '/broadcasts/:id/retry',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'retryBroadcast',
        summary: 'Try its failed deliveries again',
        description: 'Those that are dead, expired or unknown, unless `states` narrows them.',
        tags,
        params,
        body: z
          .strictObject({ states: z.array(RetryableState).min(1).max(retryableStates.length).optional() })
          .optional(),
        response,
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await mustRead(parts, id);
      await retry(db, { states: request.body?.states ?? retryableStates, broadcastId: id });
      return reply.code(202).send(await read(id));
    },
  );
}
