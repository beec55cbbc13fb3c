import { z } from 'zod';
import { cancel } from '../../ledger/cancel.ts';
import { retry, retryableStates } from '../../ledger/retry.ts';
import { mostRevisions, retract, revise } from '../../ledger/revise.ts';
import { Message } from '../../message.ts';
import { assertMayChange } from '../makers.ts';
import type { App, Parts } from '../parts.ts';
import { notFound, Problem, problems } from '../problems.ts';
import { Broadcast, RetryableState } from '../schemas.ts';
import { mustRead, represented } from './broadcasts.ts';

const tags = ['broadcasts'];
const alternatives = new Intl.ListFormat('en', { type: 'disjunction' });
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
          'Makes the next revision: copies already delivered are edited, deliveries still open send the new text. A message that it ' +
          `says already makes none. There are at most ${mostRevisions} revisions.`,
        tags,
        params,
        body: Revision,
        response: {
          200: Broadcast.describe('It says so already: nothing has changed.'),
          ...response,
          ...problems(409),
        },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await assertMayChange(db, request.caller, { broadcast: id });
      const done = await revise(db, id, request.body.message);
      if (done === 'missing') throw notFound(`broadcast ${id}`);
      if (done === 'retracted' || done === 'cancelled') {
        const before = done === 'cancelled' ? ' before anything of it was sent' : '';
        throw new Problem(
          409,
          done,
          `Broadcast ${id} was ${done}${before}: send a new one instead (POST /broadcasts).`,
        );
      }
      if (done === 'exhausted') {
        const detail = `Broadcast ${id} has had ${mostRevisions} revisions: send a new one instead (POST /broadcasts). It can still be retracted.`;
        throw new Problem(409, 'too-many-revisions', detail);
      }
      return reply.code(done === 'unchanged' ? 200 : 202).send(await read(id));
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
      await assertMayChange(db, request.caller, { broadcast: id });
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
      await assertMayChange(db, request.caller, { broadcast: id });
      if ((await retract(db, id)) === 'missing') throw notFound(`broadcast ${id}`);
      return reply.code(202).send(await read(id));
    },
  );

  app.post(
    '/broadcasts/:id/retry',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'retryBroadcast',
        summary: 'Try its failed deliveries again',
        description:
          'Those that are dead, expired or unknown, unless `states` narrows them. Where there are none it answers 409.',
        tags,
        params,
        body: z
          .strictObject({ states: z.array(RetryableState).min(1).max(retryableStates.length).optional() })
          .optional(),
        response: { ...response, ...problems(409) },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await assertMayChange(db, request.caller, { broadcast: id });
      const { broadcast } = await mustRead(parts, id);
      const states = request.body?.states ?? retryableStates;
      const retried = await retry(db, { states, broadcastId: id });
      const now = await read(id);
      if (retried === 0) {
        const rule = `Only ${alternatives.format(states)} ones whose destination exists can be tried again`;
        const exception = broadcast.retracted
          ? ', and of what was retracted only those that are still to be taken back'
          : '';
        const detail = `Broadcast ${id} has nothing to retry: ${now.summary}. ${rule}${exception}.`;
        throw new Problem(409, 'nothing-to-retry', detail);
      }
      return reply.code(202).send(now);
    },
  );
}
