import { z } from 'zod';
import { reach } from '../../ledger/reach.ts';
import { share } from '../../share.ts';
import type { Metrics } from '../metrics.ts';
import type { App, Parts } from '../parts.ts';
import { Problem, problems } from '../problems.ts';

const Ready = z
  .object({
    status: z.enum(['ready', 'degraded']),
    unreachable: z
      .array(z.string())
      .describe('What cannot be reached. Work is accepted without the queue, and goes on when it is back.'),
  })
  .meta({ id: 'Ready' });

const tags = ['operations'];
const patienceMs = 2_000;

/** `db` is a pool that nothing else waits for: these routes need no key. */
export function healthRoutes(app: App, { db, reachQueue }: Pick<Parts, 'db' | 'reachQueue'>, metrics: Metrics): void {
  const look = share(() => Promise.allSettled([inTime(reach(db)), inTime(reachQueue())]));

  app.get(
    '/healthz',
    {
      schema: {
        operationId: 'getHealth',
        summary: 'The process lives',
        tags,
        security: [],
        response: { 200: z.object({ status: z.literal('alive') }) },
      },
    },
    async () => ({ status: 'alive' as const }),
  );

  app.get(
    '/readyz',
    {
      schema: {
        operationId: 'getReadiness',
        summary: 'It can accept work',
        tags,
        security: [],
        response: { 200: Ready, ...problems(503) },
      },
    },
    async () => {
      const [database, queue] = await look();
      const unreachable = [
        ...(database.status === 'rejected' ? ['database'] : []),
        ...(queue.status === 'rejected' ? ['queue'] : []),
      ];
      if (database.status === 'rejected') {
        throw new Problem(503, 'not-ready', `Cannot reach the ${unreachable.join(' and the ')}.`, {
          headers: { 'retry-after': '5' },
          members: { unreachable },
        });
      }
      return { status: unreachable.length > 0 ? ('degraded' as const) : ('ready' as const), unreachable };
    },
  );

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'getMetrics',
        summary: 'Metrics for Prometheus',
        description: 'Up to 2 seconds old; what the ledger says may be older while measuring it takes long.',
        tags,
        security: [],
        response: {
          200: { description: 'Text exposition format.', content: { 'text/plain': { schema: z.string() } } },
        },
      },
    },
    async (_request, reply) => {
      const text = await metrics.expose();
      return reply.type(metrics.registry.contentType).serializer(String).send(text);
    },
  );
}

async function inTime(answer: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, patienceMs, new Error(`no answer within ${patienceMs} ms`));
  });
  try {
    await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
