import { z } from 'zod';
import { resolveDestinations } from '../../ledger/resolve-destinations.ts';
import type { Admission } from '../admission.ts';
import { BroadcastBody } from '../broadcast-body.ts';
import { composeIntent, type Resolve } from '../intent.ts';
import type { App, Parts } from '../parts.ts';
import { invalid, type Problem, problems } from '../problems.ts';
import { type Rendering, renderAll } from '../renderings.ts';

const Previews = z
  .object({
    previews: z.array(
      z.object({
        destination: z.string(),
        kind: z.string(),
        required: z.boolean(),
        payload: z.unknown().describe("In the service's own form, trimmed to its limits."),
      }),
    ),
  })
  .meta({ id: 'Previews' });

/** Together, in characters of JSON: two thousand copies of a short message, or dozens of the longest. */
const mostChars = 4 * 1024 * 1024;

export function previewRoutes(app: App, parts: Parts, admission: Admission): void {
  // Nothing checks afterwards whether they are still so.
  const resolve: Resolve = (names, audience) => resolveDestinations(parts.db, names, audience);

  app.post(
    '/previews',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'previewBroadcast',
        summary: 'What each destination would be sent',
        description:
          'Takes the same body as a broadcast. Records nothing and sends nothing. Together the previews have at most 4 MiB: ask for long ' +
          'messages at fewer destinations.',
        tags: ['broadcasts'],
        body: BroadcastBody,
        response: { 200: Previews, ...problems(400, 401, 403, 422, 503) },
      },
    },
    async (request, reply) => {
      const unrecorded = { traceparent: null, idempotencyKey: null, requestHash: null };
      const how = { correlationId: request.id, madeBy: request.caller.id, ...unrecorded };
      const previews = await admission.run(request.body.message.severity, async (untimed) => {
        const composed = await composeIntent(request.body, how, resolve, parts);
        const texts: string[] = [];
        let chars = 0;
        const keep = (rendering: Rendering) => {
          const text = JSON.stringify(rendering);
          texts.push(text);
          chars += text.length;
          if (chars > mostChars) throw tooMuch(request.body, texts.length - 1);
        };
        await untimed(renderAll(composed, keep));
        return texts;
      });
      // Written piece by piece above, because all of it at once would hold everyone else up.
      return reply.type('application/json; charset=utf-8').send(`{"previews":[${previews.join(',')}]}` as never);
    },
  );
}

function tooMuch({ destinations }: BroadcastBody, fitting: number): Problem {
  const pointer = destinations ? '/destinations' : '/audience';
  const detail = `are too many for previews of so long a message: ask for at most ${fitting} at a time`;
  return invalid([{ pointer, detail }], 422);
}
