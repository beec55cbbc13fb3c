import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Gate } from './auth.ts';
import { createFeed, eventText } from './event-feed.ts';
import type { Parts } from './parts.ts';
import { Problem } from './problems.ts';
import { asProblem } from './translate.ts';

/** Open at once in this process. Each holds a connection, and up to a page of events for a client that reads slowly. */
const mostStreams = 200;
/** Of those, with one API key: no client is to take the places of all the others. */
const mostWithOneKey = 20;
/** When to come back if there is no room, in seconds. */
const retryAfterSeconds = 10;
/** Proxies commonly drop what has been silent for 30 or 60 seconds; this is in milliseconds. */
const heartbeatMs = 15_000;
/** A client that has taken nothing for so long, in milliseconds, has given up without saying so: its place is wanted. */
const stalledMs = 120_000;
/** How soon a client that was cut comes back, in milliseconds. */
const reconnectMs = 2_000;
/** What an ending process leaves to clients to take what is on its way, in milliseconds. */
const partingMs = 1_000;

export interface Scope {
  /** Null: everything. */
  broadcast: string | null;
  /** Null: all of them. */
  destination: string | null;
}

export interface Beginning {
  position: string;
  /** Told first. Nothing in it but its end has an id: who is cut in it begins anew. */
  opening: string[];
}

/** Where a stream begins: behind the position that the client names, or else where it begins without one. Throws Problems. */
export type From = (position: string | null) => Promise<Beginning>;

export interface Streams {
  /** Answers with a stream of events; a route returns what this does. Throws a Problem when too many are open. */
  begin(request: FastifyRequest, reply: FastifyReply, scope: Scope, from: From): Promise<never>;
  /** Ends them all; their clients connect again, elsewhere or later, and miss nothing. */
  end(): void;
}

/** Server-sent events, each stream at its client's pace (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export function createStreams(parts: Parts, gate: Gate): Streams {
  const feed = createFeed(parts);
  const open = new Map<() => void, string>();

  /** Reads on when the client has taken what came before: who is slow costs a page of memory, and is told fewer changes. */
  async function* tell(request: FastifyRequest, scope: Scope, from: From, begun: Beginning, ended: AbortSignal) {
    const follower = feed.follow(scope.broadcast, ended);
    yield `retry: ${reconnectMs}\n\n`;
    yield* begun.opening;
    let { position } = begun;
    // An id alone is no event, but is kept: who is cut before the first event misses nothing either.
    yield `id: ${position}\n\n`;
    let spoke = performance.now();
    while (!ended.aborted) {
      try {
        // A key that was withdrawn since must not go on reading.
        await gate.admit(request, 'read');
        const page = await feed.read(position, scope.broadcast);
        if (!page) {
          const anew = await from(null);
          yield eventText('stream.reset', { detail: 'This database does not know the Last-Event-ID: read anew.' });
          yield* anew.opening;
          position = anew.position;
          yield `id: ${position}\n\n`;
          continue;
        }
        for (const { text, destinations } of page.events) {
          if (scope.destination !== null && !destinations.includes(scope.destination)) continue;
          yield text;
          spoke = performance.now();
        }
        position = page.next;
        if (page.more) continue;
        if (page.heldBack) follower.expect();
      } catch (error) {
        if (!isOutage(error, request)) return;
      }
      if (performance.now() - spoke >= heartbeatMs) {
        // With an id: who hears nothing for long need not search through all that was not for him when he comes back.
        yield `: still here\nid: ${position}\n\n`;
        spoke = performance.now();
      }
      await follower.news();
    }
  }

  /** An absent database comes back. Whatever else it is, the client learns it when it connects again. */
  function isOutage(error: unknown, request: FastifyRequest): boolean {
    const problem = asProblem(error);
    if (problem.status >= 500 && problem.status !== 503) {
      parts.log.error({ correlationId: request.id, err: problem.cause ?? problem }, 'a stream of events broke off');
    }
    return problem.status === 503;
  }

  return {
    async begin(request, reply, scope, from) {
      const key = request.caller.id;
      const headers = { 'retry-after': String(retryAfterSeconds) };
      if ([...open.values()].filter((other) => other === key).length >= mostWithOneKey) {
        const detail = `${mostWithOneKey} streams are open here with this key. Close some, come back later, or use another key.`;
        throw new Problem(429, 'too-many-streams', detail, { headers });
      }
      if (open.size >= mostStreams) {
        const detail = `${mostStreams} streams are open here. Close some, or come back later.`;
        throw new Problem(503, 'too-many-streams', detail, { headers });
      }
      const ended = new AbortController();
      let parting: NodeJS.Timeout | undefined;
      const hangUp = () => reply.raw.destroy();
      const end = () => {
        ended.abort();
        // A client that does not read would keep the process from ending.
        parting = setTimeout(hangUp, partingMs);
      };
      open.set(end, key);
      reply.raw.once('close', () => {
        open.delete(end);
        ended.abort();
        clearTimeout(parting);
      });
      const begun = await from(request.headers['last-event-id']?.toString() || null);
      reply.headers({
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-store',
        // Reverse proxies would collect events before they pass them on.
        'x-accel-buffering': 'no',
        // Kept alive, it would have an ending process wait for another request.
        connection: 'close',
      });
      const texts = unlessStalled(tell(request, scope, from, begun, ended.signal), hangUp);
      // It is no object of the route's schema, nor will there be one.
      return reply.send(Readable.from(texts)) as never;
    },
    end() {
      for (const end of open.keys()) end();
    },
  };
}

async function* unlessStalled(texts: AsyncIterable<string>, hangUp: () => void) {
  for await (const text of texts) {
    const stalled = setTimeout(hangUp, stalledMs);
    try {
      yield text;
    } finally {
      clearTimeout(stalled);
    }
  }
}
