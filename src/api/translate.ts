import { Refusal } from '../ledger/refusal.ts';
import { SecretKeyError } from '../secrets.ts';
import { invalid, Problem } from './problems.ts';

/** Seconds after which a client may try again when the database could not be reached: longer than a fail-over's first probe. */
const retryAfterSeconds = 5;

const refusals: Record<Refusal['reason'], { status: 409 | 422; pointer: string }> = {
  in_use: { status: 409, pointer: '' },
  fallback_missing: { status: 422, pointer: '/fallback' },
  fallback_cycle: { status: 422, pointer: '/fallback' },
  fallback_too_long: { status: 422, pointer: '/fallback' },
  member_missing: { status: 422, pointer: '/destinations' },
};

/** Whatever was thrown, as the problem that the client is told. What we did not foresee says nothing of its inside. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof Refusal) return fromRefusal(error);
  if (error instanceof SecretKeyError) return new Problem(500, 'secret-key', error.message, { cause: error });
  const code = codeOf(error);
  if (isUnreachable(error, code)) {
    return new Problem(
      503,
      'database-unreachable',
      'The database did not answer. What was to be recorded may be on record all the same: repeat the request, a broadcast with the ' +
        'same Idempotency-Key, and it counts once.',
      {
        headers: { 'retry-after': String(retryAfterSeconds) },
        cause: error,
      },
    );
  }
  if (code === '55P03') {
    return new Problem(
      503,
      'busy',
      'Something else is at work on what this would change. Nothing was changed: repeat it.',
      {
        headers: { 'retry-after': String(retryAfterSeconds) },
        cause: error,
      },
    );
  }
  // Data exceptions: a value that no schema refused, and that PostgreSQL cannot represent.
  if (/^22\w{3}$/.test(code)) {
    return new Problem(400, 'invalid-request', 'The request has a value that cannot be stored.', { cause: error });
  }
  return (
    fromFramework(error, code) ?? new Problem(500, 'internal', 'Something went wrong on our side.', { cause: error })
  );
}

function fromRefusal(refusal: Refusal): Problem {
  const { status, pointer } = refusals[refusal.reason];
  if (status === 422) return invalid([{ pointer, detail: refusal.message }], 422);
  return new Problem(409, 'in-use', refusal.message, { members: { names: refusal.names } });
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

/** Reading the driver: SQLSTATE classes where the server spoke, system codes where the network did, and pg's own, which have none. */
function isUnreachable(error: unknown, code: string): boolean {
  if (/^(08\w{3}|57P0[1-5]|53\w{3}|25006|25P03|57014)$/.test(code)) return true;
  if (/^(ECONN\w+|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ENOENT)$/.test(code)) return true;
  if (error instanceof AggregateError) return error.errors.some((inner) => isUnreachable(inner, codeOf(inner)));
  if (!(error instanceof Error) || code !== '') return false;
  return /^(Connection terminated|timeout (exceeded when trying to connect|expired)|Query read timeout|Client has encountered a connection error|Cannot use a pool after)/.test(
    error.message,
  );
}

const bodies: Record<string, [status: number, code: string, detail: string]> = {
  FST_ERR_CTP_BODY_TOO_LARGE: [413, 'too-large', 'The body is larger than 1 MiB.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    415,
    'unsupported-media-type',
    'The body must be JSON, under the header Content-Type: application/json.',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [400, 'invalid-request', 'The body is not as long as Content-Length says.'],
  FST_ERR_BAD_URL: [400, 'invalid-request', 'The path is not a valid URL.'],
  FST_ERR_MAX_PARAM_LENGTH: [404, 'not-found', 'There is no such thing.'],
};

function fromFramework(error: unknown, code: string): Problem | null {
  const known = bodies[code];
  if (known) return new Problem(...known, { cause: error });
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500;
  if (error instanceof Error && status >= 400 && status < 500) {
    return new Problem(status, 'invalid-request', 'The request is not one that can be understood.', { cause: error });
  }
  return null;
}
