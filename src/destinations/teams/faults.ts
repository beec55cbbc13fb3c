import { GraphError } from '@microsoft/microsoft-graph-client';
import type { Fault } from '../../delivery/outcome.ts';
import { textFrom } from '../foreign.ts';
import { retryAfterMs } from '../retry-after.ts';
import type { Wire } from '../wire.ts';

/**
 * Graph's own code and words for a refusal; which class its status belongs to is in
 * https://learn.microsoft.com/en-us/graph/errors. Everything else is the shared table's.
 */
export function classify(error: unknown, wire: Wire): Fault | undefined {
  // Code and message are whatever the answer has in their place.
  if (!(error instanceof GraphError) || !error.code || typeof error.code !== 'string') return undefined;
  const { statusCode: status, code } = error;
  const said = textFrom(error.message);
  // Below 400 the code is the name of the error that reading the answer ended with.
  if (status < 400 || status === 408 || status === 425) return undefined;
  const fault = { reason: code, message: said || code, status, retryAfterMs: null };
  if (status === 429) {
    return { ...fault, class: 'rate_limited', retryAfterMs: retryAfterMs(wire.headers['retry-after']) };
  }
  if (status >= 500) return { ...fault, class: 'ambiguous', retryAfterMs: retryAfterMs(wire.headers['retry-after']) };
  if (status === 401) return { ...fault, class: 'permanent', credential: true };
  // 403 also stands for an archived channel, of which the credential is innocent.
  if (status === 403) return { ...fault, class: 'permanent', credential: /scope|permission|consent|role/i.test(said) };
  return { ...fault, class: 'permanent' };
}
