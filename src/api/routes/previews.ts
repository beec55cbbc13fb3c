import { z } from 'zod';
import { BroadcastBody } from '../broadcast-body.ts';
import { composeIntent } from '../intent.ts';
import type { App, Parts } from '../parts.ts';
import { problems } from '../problems.ts';

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

export function previewRoutes(app: App, parts: Parts): void {
  app.post(
    '/previews',
    {
      config: { scope: 'send' },
      schema: {
        operationId: 'previewBroadcast',
        summary: 'What each destination would be sent',
        description: 'Takes the same body as a broadcast. Records nothing and sends nothing.',
        tags: ['broadcasts'],
        body: BroadcastBody,
        response: { 200: Previews, ...problems(400, 401, 403, 422, 503) },
      },
    },
    async (request) => {
      const unrecorded = { traceparent: null, idempotencyKey: null, requestHash: null };
      const how = { correlationId: request.id, madeBy: request.caller.id, ...unrecorded };
      const { renderings } = await composeIntent(request.body, how, parts);
      return { previews: renderings };
    },
  );
}
