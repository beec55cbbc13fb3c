import type { Fault } from '../delivery/outcome.ts';
import { type Adapter, FaultError } from './adapter.ts';
import { cleanText, textFrom } from './foreign.ts';
import { type Redact, redactor } from './redact.ts';
import { retryAfterMs } from './retry-after.ts';
import { trimChars } from './trim.ts';
import type { Wire } from './wire.ts';

const messageLimit = 500;

/** A message repeats an earlier one where that contains it. Searching one long text in another could take for ever. */
const comparedLimit = 2_048;

/** The error and what caused it, outermost first. SDKs hide the cause under various names. */
export function chain(error: unknown): unknown[] {
  const links: unknown[] = [];
  let current = error;
  while (current !== null && typeof current === 'object' && !links.includes(current) && links.length < 10) {
    links.push(current);
    const { cause, original, errors } = current as { cause?: unknown; original?: unknown; errors?: unknown[] };
    current = cause ?? original ?? errors?.[0];
  }
  return links.length > 0 ? links : [error];
}

function textOf(value: unknown, property: string): string {
  const text = (value as Record<string, unknown> | null | undefined)?.[property];
  return typeof text === 'string' ? text : '';
}

function repeats(earlier: string, message: string): boolean {
  const long = Math.max(earlier.length, message.length) > comparedLimit;
  return long ? earlier === message : earlier.includes(message);
}

/** What each link says, once. */
export function describe(error: unknown): string {
  const said: string[] = [];
  for (const link of chain(error)) {
    const message = typeof link === 'string' ? link : textOf(link, 'message') || textOf(link, 'code');
    if (message && !said.some((earlier) => repeats(earlier, message))) said.push(message);
  }
  return said.join(': ') || 'The attempt failed without saying why.';
}

/** Codes of errors that can only happen before the first byte of a request, with the word for each. */
const beforeSending: readonly [RegExp, string][] = [
  [/^ECONNREFUSED$/, 'connection_refused'],
  [/^(ENOTFOUND|EAI_\w+|EDNS)$/, 'dns'],
  [/^(EHOSTUNREACH|ENETUNREACH|EHOSTDOWN|ENETDOWN|EADDRNOTAVAIL)$/, 'unreachable'],
  [/^UND_ERR_CONNECT_TIMEOUT$/, 'timeout'],
  // https://nodejs.org/api/tls.html#x509-certificate-error-codes
  [/^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH_)/, 'tls'],
];

/** Codes and names of errors that may come at any time: only the wire knows whether the request had left. */
const atAnyTime: readonly [RegExp, string][] = [
  [/^(TimeoutError|ETIMEDOUT|ESOCKETTIMEDOUT|UND_ERR_HEADERS_TIMEOUT|UND_ERR_BODY_TIMEOUT)$/, 'timeout'],
  [/^(AbortError|UND_ERR_ABORTED|ABORT_ERR|EABORT)$/, 'aborted'],
  [/^(ECONNRESET|EPIPE|ECONNABORTED|UND_ERR_SOCKET|UND_ERR_CLOSED|UND_ERR_DESTROYED)$/, 'connection_lost'],
  [/^(ERR_REPLY_TOO_LONG|UND_ERR_RES_EXCEEDED_MAX_SIZE)$/, 'reply_too_long'],
  [/^(HTTPParserError|HPE_\w+|SyntaxError)$/, 'unreadable_reply'],
];

function search(error: unknown, table: readonly [RegExp, string][]): string | null {
  for (const link of chain(error)) {
    // nodemailer keeps what the socket said beside a code of its own.
    for (const word of [textOf(link, 'code'), textOf(link, 'originalCode'), textOf(link, 'name')]) {
      for (const [pattern, reason] of table) if (pattern.test(word)) return reason;
    }
  }
  return null;
}

/** ETIMEDOUT of the system's own `connect` comes before sending; the same code on a read does not. */
function connectTimedOut(error: unknown): boolean {
  return chain(error).some((link) => textOf(link, 'code') === 'ETIMEDOUT' && textOf(link, 'syscall') === 'connect');
}

/** fetch refuses ports of other services (25, 6000, …) before anything is sent: https://fetch.spec.whatwg.org/#port-blocking */
function refusedPort(error: unknown): boolean {
  return chain(error).some((link) => textOf(link, 'message') === 'bad port');
}

/** Reasons that tell of an answer: somebody was there and spoke. */
const answered = ['reply_too_long', 'unreadable_reply'];

/** True for an error that no service has caused by its answer: it was not reached, or did not answer. */
export function isUnanswered(error: unknown): boolean {
  const reason = search(error, [...beforeSending, ...atAnyTime]);
  return refusedPort(error) || (reason !== null && !answered.includes(reason));
}

type Verdict = Omit<Fault, 'message'>;

/** The answer's status decides, whatever an SDK made of it. */
function fromStatus(status: number, wire: Wire, error: unknown): Verdict {
  const retryAfter = retryAfterMs(wire.headers['retry-after']);
  const fault = { reason: `http_${status}`, status, retryAfterMs: null };
  if (status === 429) return { class: 'rate_limited', reason: 'too_many_requests', status, retryAfterMs: retryAfter };
  // The request was not, or not wholly, read (RFC 9110, 15.5.9; RFC 8470, 5.2).
  if (status === 408 || status === 425) return { ...fault, class: 'transient', retryAfterMs: retryAfter };
  // Whoever answers with an error of its own may have done the work before, or may be a proxy in front of one who did.
  if (status >= 500) return { ...fault, class: 'ambiguous', retryAfterMs: retryAfter };
  if (status === 401 || status === 403) return { ...fault, class: 'permanent', credential: true };
  if (status >= 400) return { ...fault, class: 'permanent' };
  // Redirects are not followed: a 302 would turn the POST into a GET, and either could lead into a private network.
  if (status >= 300) return { ...fault, class: 'permanent', reason: 'redirected' };
  // It said yes, but not what to: very likely delivered, under an id that we do not know.
  return { ...fault, class: 'ambiguous', reason: search(error, atAnyTime) ?? 'unreadable_reply' };
}

function fromTransport(wire: Wire, error: unknown): Verdict {
  const early = search(error, beforeSending) ?? (connectTimedOut(error) ? 'timeout' : null);
  const reason = early ?? search(error, atAnyTime);
  const fault = { status: null, retryAfterMs: null };
  if (wire.sent === 'none') {
    // A request was made and none of it left, or the error by itself proves as much.
    if (wire.requests > 0 || early) return { ...fault, class: 'transient', reason: reason ?? 'connection_failed' };
    // No request was made at all: time ran out before the adapter got that far.
    if (reason === 'timeout' || reason === 'aborted') return { ...fault, class: 'transient', reason };
  }
  // TLS and connect errors after bytes were sent belong to a second connection; the first request stays unexplained.
  return {
    ...fault,
    class: 'ambiguous',
    reason: reason ?? (wire.sent === 'none' ? 'unexpected_error' : 'connection_lost'),
  };
}

function judge(error: unknown, wire: Wire, adapter: Pick<Adapter, 'classify'>): Fault {
  const known = chain(error).find((link) => link instanceof FaultError);
  if (known instanceof FaultError) return known.fault;

  const vendor = adapter.classify?.(error, wire);
  // Nothing left the machine, so that nothing can have landed, whatever the SDK's error looks like.
  const sent = wire.sent !== 'none' || wire.requests === 0;
  if (vendor && (sent || vendor.class !== 'ambiguous')) return vendor;

  if (refusedPort(error) && wire.sent === 'none') {
    const message =
      'The URL names a port that web requests are not made to, because other services use it. Choose another one.';
    return { class: 'permanent', reason: 'port_refused', message, status: null, retryAfterMs: null };
  }
  const message = describe(error);
  if (wire.status !== null) return { ...fromStatus(wire.status, wire, error), message };
  return { ...fromTransport(wire, error), message };
}

/** What is left to say of an error that cannot even be read: how far the request got. */
function fromWire(wire: Wire, flaw: unknown): Fault {
  const message = `The attempt failed, and its error cannot be read: ${textFrom((flaw as Error | null)?.message)}`;
  const verdict = wire.status === null ? fromTransport(wire, null) : fromStatus(wire.status, wire, null);
  return { ...verdict, message };
}

/** A foreign text as it may be stored and shown: without secrets, without controls, and short. */
export function told(text: unknown, redact: Redact, limit = messageLimit): string {
  return trimChars(cleanText(redact(textFrom(text))).trim(), limit);
}

/**
 * The one place where whatever went wrong becomes a fault. A vendor's code, which only the adapter can read, says the most; then the
 * wire (the status and headers of the answer, or how much of the request had left); then the SDK's error. What none of them
 * explains is ambiguous. `redact` removes secrets from all text. Never throws, whatever the error is.
 */
export function faultFrom(
  error: unknown,
  wire: Wire,
  adapter: Pick<Adapter, 'classify'>,
  redact: Redact = redactor(),
): Fault {
  let fault: Fault;
  try {
    fault = judge(error, wire, adapter);
  } catch (flaw) {
    fault = unclassified(error, wire, flaw);
  }
  return { ...fault, reason: told(fault.reason, redact, 64), message: told(fault.message, redact) };
}

/** An adapter that stumbles over an error has not understood it; an error may also defend itself against being read at all. */
function unclassified(error: unknown, wire: Wire, flaw: unknown): Fault {
  try {
    return { ...judge(error, wire, {}), message: `${describe(error)} (and classifying it failed: ${describe(flaw)})` };
  } catch {
    return fromWire(wire, flaw);
  }
}
