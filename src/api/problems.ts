import { STATUS_CODES } from 'node:http';
import type { FastifyReply } from 'fastify';
import { z } from 'zod';

/** One thing that is wrong with a request: where in the body, or which parameter or header, and what. */
export interface Flaw {
  /** A JSON Pointer into the body (RFC 6901); empty for the body as a whole, and for parameters. */
  pointer: string;
  /** The query parameter, path parameter or header that is meant instead. */
  parameter?: string;
  detail: string;
}

interface Extras {
  errors?: Flaw[];
  headers?: Record<string, string>;
  /** Further members of the answer. */
  members?: Record<string, unknown>;
  cause?: unknown;
}

/** An answer that says no. Whatever the API refuses, it refuses by throwing one of these. */
export class Problem extends Error {
  override name = 'Problem';
  readonly status: number;
  /** Names the problem type for programs; stable. */
  readonly code: string;
  readonly errors: Flaw[] | undefined;
  readonly headers: Record<string, string>;
  readonly members: Record<string, unknown>;

  constructor(
    status: number,
    code: string,
    detail: string,
    { errors, headers = {}, members = {}, cause }: Extras = {},
  ) {
    super(detail, { cause });
    this.status = status;
    this.code = code;
    this.errors = errors;
    this.headers = headers;
    this.members = members;
  }
}

/** Listed at most; somebody who has made so many mistakes has made one of them everywhere. */
const mostFlaws = 100;

/** A request that is wrong in these places. */
export function invalid(flaws: Flaw[], status: 400 | 422 = 400): Problem {
  const [first] = flaws;
  const where = first?.parameter ?? (first?.pointer || 'the body');
  const listed = flaws.length > mostFlaws ? `; the first ${mostFlaws} are listed` : '';
  const more = flaws.length > 1 ? ` (and ${flaws.length - 1} more${listed})` : '';
  const code = status === 400 ? 'invalid-request' : 'unprocessable';
  return new Problem(status, code, `${where}: ${first?.detail}${more}`, { errors: flaws.slice(0, mostFlaws) });
}

export function notFound(what: string): Problem {
  return new Problem(404, 'not-found', `There is no ${what}.`);
}

export function pointerTo(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  return reply
    .code(problem.status)
    .headers(problem.headers)
    .type('application/problem+json')
    .serializer((body: unknown) => JSON.stringify(body))
    .send({
      type: `urn:tocsin:problem:${problem.code}`,
      title: STATUS_CODES[problem.status] ?? 'Problem',
      status: problem.status,
      detail: problem.message,
      correlationId: reply.request.id,
      ...(problem.errors && { errors: problem.errors }),
      ...problem.members,
    });
}

const Flaw = z.object({
  pointer: z.string().describe('JSON Pointer into the body; empty for the body as a whole and for parameters.'),
  parameter: z.string().optional().describe('The query parameter, path parameter or header that is meant.'),
  detail: z.string(),
});

export const ProblemSchema = z
  .looseObject({
    type: z.string().describe('A URN that names the kind of problem; stable.'),
    title: z.string(),
    status: z.int(),
    detail: z.string().describe('What is wrong here, and the remedy where there is one.'),
    correlationId: z.string(),
    errors: z.array(Flaw).optional().describe(`At most ${mostFlaws}; \`detail\` says how many there are.`),
  })
  .describe('RFC 9457 problem details')
  .meta({ id: 'Problem' });

const descriptions: Record<number, string> = {
  400: 'The request is malformed; `errors` says where.',
  401: 'No valid key.',
  403: 'The key lacks the scope; or with `send` alone, another key made it, or there is no such thing.',
  404: 'There is no such thing.',
  409: 'What exists stands in the way.',
  422: 'The request is well formed, but names what does not exist or cannot be.',
  429: 'Too much at once with this key: come back after `Retry-After` seconds.',
  503:
    'Not possible now: come back after `Retry-After` seconds. Of type `…overloaded`: nothing was recorded. Of type ' +
    '`…busy`: something else is at work on it, and nothing was changed. Of type ' +
    '`…database-unreachable`: it may have been recorded all the same; repeat it, a broadcast with the same Idempotency-Key.',
};

/** The problem answers of a route, for its schema. */
export function problems(...statuses: (keyof typeof descriptions)[]) {
  return Object.fromEntries(
    statuses.map((status) => [
      status,
      { description: descriptions[status], content: { 'application/problem+json': { schema: ProblemSchema } } },
    ]),
  );
}
