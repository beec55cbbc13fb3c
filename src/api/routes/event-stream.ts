import { z } from 'zod';
import { isPosition, presentPosition } from '../../ledger/read-changes.ts';
import type { Gate } from '../auth.ts';
import { Destination } from '../destination-view.ts';
import { eventText } from '../event-feed.ts';
import type { App, Parts } from '../parts.ts';
import { problems } from '../problems.ts';
import { Broadcast, Delivery } from '../schemas.ts';
import { createStreams } from '../streaming.ts';
import { mustRead, represented } from './broadcasts.ts';

const Headers = z.looseObject({
  'last-event-id': z
    .string()
    .refine(
      (id) => id === '' || isPosition(id),
      'is not the id of an event: send the last one as it came, or leave the header out to begin anew',
    )
    .optional()
    .describe('The `id` that came last: goes on behind it, and nothing is missed. Browsers send it by themselves.'),
});

const event = <Name extends string, Data extends z.ZodType>(name: Name, data: Data) =>
  z.object({ event: z.literal(name), id: z.string().optional(), data });

const Event = z
  .discriminatedUnion('event', [
    event('delivery.updated', Delivery),
    event('broadcast.updated', Broadcast),
    event('destination.updated', Destination),
    event('stream.reset', z.object({ detail: z.string() })),
  ])
  .describe('One event. On the line its parts are `event:`, `id:` and `data:`, the last of them JSON on one line.')
  .meta({ id: 'Event' });

const stream = {
  description: 'Server-sent events, without an end.',
  content: { 'text/event-stream': { schema: Event } },
};

const howItWorks = [
  'An event says that a thing is now so, and carries what a GET of it answers (a delivery without its attempts, a broadcast without its ' +
    'callbacks). Changes in quick succession may be told as one, and the same may be told twice; the newest state is always told. Of what changed together, ' +
    'deliveries are told first and broadcasts next. Removals are not told.',
  'A comment or more comes every 15 seconds. When a stream ends, connect again with `Last-Event-ID`, to whichever process: nothing ' +
    'is missed. `stream.reset` says that the database does not know that id, as after a restore: what changed before is not told, so ' +
    'read anew what matters.',
].join('\n\n');

export function eventStreamRoutes(app: App, parts: Parts, gate: Gate): void {
  const { db } = parts;
  const streams = createStreams(parts, gate);
  app.addHook('preClose', async () => streams.end());

  app.get(
    '/events',
    {
      config: { scope: 'read' },
      exposeHeadRoute: false,
      schema: {
        operationId: 'streamEvents',
        summary: 'Everything that changes, as it happens',
        description: `Begins now, or behind \`Last-Event-ID\`.\n\n${howItWorks}`,
        tags: ['events'],
        headers: Headers,
        querystring: z.strictObject({
          destination: z
            .string()
            .optional()
            .describe('Only this destination, the deliveries to it, and the broadcasts that go there.'),
        }),
        response: { 200: stream, ...problems(400, 401, 403, 429, 503) },
      },
    },
    (request, reply) => {
      const scope = { broadcast: null, destination: request.query.destination ?? null };
      return streams.begin(request, reply, scope, async (position) => ({
        position: position ?? (await presentPosition(db)),
        opening: [],
      }));
    },
  );

  app.get(
    '/broadcasts/:id/events',
    {
      config: { scope: 'read' },
      exposeHeadRoute: false,
      schema: {
        operationId: 'streamBroadcastEvents',
        summary: 'What becomes of one broadcast, as it happens',
        description:
          'Begins with the broadcast and each of its deliveries as they are, or behind `Last-Event-ID`, and tells what changes. It ' +
          `does not end when the broadcast has converged, because that may be revised or retried.\n\n${howItWorks}`,
        tags: ['events'],
        params: z.object({ id: z.string() }),
        headers: Headers,
        querystring: z.strictObject({}),
        response: { 200: stream, ...problems(400, 401, 403, 404, 429, 503) },
      },
    },
    (request, reply) => {
      const { id } = request.params;
      return streams.begin(request, reply, { broadcast: id, destination: null }, async (position) => {
        // Before the broadcast is read: what changes in between is told twice rather than never.
        const present = await presentPosition(db);
        const broadcast = represented(await mustRead(parts, id));
        if (position) return { position, opening: [] };
        const deliveries = [...broadcast.deliveries, ...(broadcast.callbacks ?? [])];
        const opening = [
          eventText('broadcast.updated', broadcast),
          // With the last of them all of it is told.
          ...deliveries.map((delivery, n) =>
            eventText('delivery.updated', delivery, n === deliveries.length - 1 ? present : undefined),
          ),
        ];
        return { position: present, opening };
      });
    },
  );
}
