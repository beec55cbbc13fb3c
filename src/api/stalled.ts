import { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';

/** A client that has taken nothing of its answer for so long, in milliseconds, is cut off: it holds a connection and the answer's memory. */
const patienceMs = 60_000;

/**
 * Cuts off clients that do not read their answers. Streams of events have a patience of their own. Node.js takes the limit back when the
 * answer is out, and looks at progress: a slow client is not cut.
 */
// biome-ignore lint/suspicious/noExplicitAny: whatever its types are
export function cutStalled(app: FastifyInstance<any, any, any, any, any>, ms = patienceMs): void {
  app.addHook('onSend', async (_request, reply) => {
    const { socket } = reply.raw;
    const isStream = String(reply.getHeader('content-type')).startsWith('text/event-stream');
    // Requests that are injected have no line that could stall.
    if (socket instanceof Socket && !isStream) socket.setTimeout(ms);
  });
}
