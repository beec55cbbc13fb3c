import { z } from 'zod';
import { gather } from '../../gather.ts';
import { accept, type Intent } from '../../ledger/accept.ts';
import { isAboutItem } from '../../ledger/database.ts';
import { findRecorded } from '../../ledger/find-recorded.ts';
import { listBroadcasts } from '../../ledger/list-broadcasts.ts';
import { type BroadcastRead, readBroadcast } from '../../ledger/read-broadcast.ts';
import { representBroadcast, representDelivery } from '../../ledger/represent.ts';
import { Severity } from '../../message.ts';
import type { Admission } from '../admission.ts';
import type { Gate } from '../auth.ts';
import { BroadcastBody, hashJson } from '../broadcast-body.ts';
import { createDirectory } from '../directory.ts';
import { composeIntent, type Resolve, tooLate } from '../intent.ts';
import { assertMayRead } from '../makers.ts';
import type { Metrics } from '../metrics.ts';
import { afterId, pageOf, pageSchema, paging } from '../paging.ts';
import type { App, Parts } from '../parts.ts';
import { notFound, Problem, problems } from '../problems.ts';
import { representRecorded } from '../recorded.ts';
import { renderAll } from '../renderings.ts';
import { asDate, asList, Broadcast, BroadcastState, oneOrMore, window } from '../schemas.ts';

/** A request is refused after so many attempts to read destinations that keep changing. */
const rereads = 3;

/** Callers that share one transaction; beyond fifty, measured, it gets no faster. */
const sharers = 50;

const Headers = z.looseObject({
  'idempotency-key': z
    .string()
    .regex(/^[\x20-\x7e]{1,255}$/, 'must be 1 to 255 printable ASCII characters')
    .optional()
    .describe(
      'The same key and body again answer the same broadcast instead of making another. Counted for each API key by itself.',
    ),
  'x-correlation-id': z.string().optional().describe('Follows the broadcast everywhere. Generated when it is missing.'),
  traceparent: z.string().optional().describe('W3C Trace Context.'),
});

/** Scopes that may read a broadcast. A key with `send` alone reads only its own. */
const readers = ['read', 'send'] as const;
const traceparentShape = /^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/;

export function represented({ broadcast, deliveries }: BroadcastRead) {
  const callbacks = deliveries.filter(({ role }) => role === 'callback').map(representDelivery);
  return { ...representBroadcast(broadcast, deliveries), ...(callbacks.length > 0 && { callbacks }) };
}

export async function mustRead(parts: Pick<Parts, 'db'>, id: string): Promise<BroadcastRead> {
  const read = await readBroadcast(parts.db, id);
  if (!read) throw notFound(`broadcast ${id}`);
  return read;
}

export function broadcastRoutes(app: App, parts: Parts, metrics: Metrics, admission: Admission, gate: Gate): void {
  const directory = createDirectory(parts.db);
  const record = gather((intents: Intent[]) => accept(parts.db, intents), { max: sharers, isItems: isAboutItem });

  app.post(
    '/broadcasts',
    {
      config: { scope: 'send' },
      // Before defaults are filled in, so that a default we change one day does not change what a client said.
      preValidation: async (request) => {
        if (request.headers['idempotency-key'] !== undefined) request.bodyHash = hashJson(request.body);
      },
      schema: {
        operationId: 'createBroadcast',
        summary: 'Say something at many destinations',
        description:
          'Answers only once the broadcast is recorded durably; deliveries then go their own ways. With an Idempotency-Key ' +
          'it is safe to repeat whatever happened to the answer.',
        tags: ['broadcasts'],
        headers: Headers,
        body: BroadcastBody,
        response: {
          200: Broadcast.describe('The same request was recorded before (`Idempotent-Replayed: true`).'),
          202: Broadcast.describe('Recorded.'),
          ...problems(400, 401, 403, 409, 422, 503),
        },
      },
    },
    async (request, reply) => {
      const idempotencyKey = request.headers['idempotency-key'] ?? null;
      const { traceparent } = request.headers;
      const { severity } = request.body.message;
      const done = await attempt();
      const { id } = done;
      if (done.is === 'conflict') {
        throw new Problem(
          409,
          'idempotency-conflict',
          `This Idempotency-Key belongs to ${id}, which had another body. Repeat that body, or choose another Idempotency-Key.`,
          {
            members: { broadcastId: id },
          },
        );
      }
      reply.header('location', `/broadcasts/${id}`);
      if (done.is !== 'recorded') {
        reply.header('idempotent-replayed', 'true');
        return reply.code(200).send(represented(await mustRead(parts, id)));
      }
      metrics.accepted(severity);
      // Which broadcast of its topic stands in the way has to be looked up.
      const isBehind = Object.values(done.held).includes('topic');
      const read = isBehind ? await mustRead(parts, id).catch(unread) : null;
      return reply.code(202).send(read ? represented(read) : representRecorded(done.intent, done));

      /** It is recorded, and a client that is told anything else may say it twice. */
      function unread(error: unknown): null {
        request.log.error({ correlationId: request.id, err: error }, 'a recorded broadcast could not be read back');
        return null;
      }

      async function attempt() {
        try {
          return await admission.run(severity, async (untimed) => {
            const requestHash = idempotencyKey === null ? null : request.bodyHash;
            const asked = { correlationId: request.id, traceparent: sane(traceparent) };
            const how = { ...asked, madeBy: request.caller.id, idempotencyKey, requestHash };
            for (let reading = 0; reading <= rereads; reading++) {
              const resolve: Resolve = (names, audience) => directory.find(names, audience, { fresh: reading > 0 });
              const composed = await composeIntent(request.body, how, resolve, parts);
              const { intent } = composed;
              admission.weigh(
                severity,
                intent.deliveries.map(({ destination }) => destination),
              );
              // A message that a kind cannot carry is refused before anything is recorded.
              await untimed(renderAll(composed));
              const answer = await record(intent);
              if (answer.is === 'late') throw tooLate();
              if (answer.is !== 'stale') return { ...answer, intent };
            }
            throw restless();
          });
        } catch (error) {
          // A repetition is answered even when the request would not be taken any more: its deadline may have passed,
          // its destination may be gone.
          const earlier =
            error instanceof Problem && idempotencyKey !== null
              ? await findRecorded(parts.db, {
                  madeBy: request.caller.id,
                  idempotencyKey,
                  requestHash: request.bodyHash,
                })
              : null;
          if (!earlier) throw error;
          return { is: earlier.same ? 'replayed' : 'conflict', id: earlier.id } as const;
        }
      }
    },
  );

  app.get(
    '/broadcasts/:id',
    {
      config: { scope: readers },
      schema: {
        operationId: 'getBroadcast',
        summary: 'One broadcast and its deliveries',
        description: 'A key with the scope `send` alone sees what it made itself.',
        tags: ['broadcasts'],
        params: z.object({ id: z.string() }),
        querystring: z.strictObject({
          wait: z.coerce
            .number()
            .min(0)
            .max(60)
            .default(0)
            .describe('Answer as soon as it has converged, at the latest after so many seconds.'),
        }),
        response: { 200: Broadcast, ...problems(400, 401, 403, 404, 503) },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      await assertMayRead(parts.db, request.caller, { broadcast: id });
      const read = await mustRead(parts, id);
      const { wait } = request.query;
      if (wait === 0 || read.broadcast.state !== 'converging') return represented(read);
      const gone = new AbortController();
      // Also when the client hangs up: nobody is waited for in vain.
      reply.raw.once('close', () => gone.abort());
      const stop = gate.watch(request, readers, () => gone.abort());
      await parts.convergence.wait(id, wait * 1000, gone.signal).finally(stop);
      // A key that was withdrawn meanwhile must not read what came after.
      await gate.admit(request, readers);
      return represented(await mustRead(parts, id));
    },
  );

  app.get(
    '/broadcasts',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listBroadcasts',
        summary: 'Broadcasts, newest first',
        tags: ['broadcasts'],
        querystring: z.strictObject({
          ...paging,
          state: oneOrMore(BroadcastState),
          topic: z.string().optional(),
          destination: z.string().optional(),
          severity: oneOrMore(Severity),
          ...window,
        }),
        response: { 200: pageSchema(Broadcast), ...problems(400, 401, 403, 503) },
      },
    },
    async ({ query }) => {
      const { state, topic = null, destination = null, severity, since, until, limit, cursor } = query;
      const page = await listBroadcasts(
        parts.db,
        {
          states: asList(state),
          topic,
          destination,
          severities: asList(severity),
          since: asDate(since),
          until: asDate(until),
        },
        { limit, after: afterId('broadcasts', cursor) },
      );
      return pageOf('broadcasts', page, ({ broadcast, deliveries }) => representBroadcast(broadcast, deliveries));
    },
  );
}

function restless(): Problem {
  const detail = 'Its destinations were changed whenever it was to be recorded. Nothing was recorded: repeat it.';
  return new Problem(503, 'busy', detail, { headers: { 'retry-after': '1' } });
}

function sane(traceparent: string | undefined): string | null {
  return traceparent && traceparentShape.test(traceparent) ? traceparent : null;
}
