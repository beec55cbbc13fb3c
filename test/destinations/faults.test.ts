import { describe, expect, it } from 'vitest';
import type { FaultClass } from '../../src/delivery/outcome.ts';
import { FaultError } from '../../src/destinations/adapter.ts';
import { faultFrom } from '../../src/destinations/faults.ts';
import { redactor } from '../../src/destinations/redact.ts';
import type { Wire } from '../../src/destinations/wire.ts';

const answered = (status: number, headers: Record<string, string> = {}): Wire => {
  return { requests: 1, sent: 'body', status, headers };
};
const unanswered = (sent: Wire['sent'], requests = 1): Wire => ({ requests, sent, status: null, headers: {} });
const coded = (code: string, more: object = {}) => {
  return new TypeError('fetch failed', { cause: Object.assign(new Error(`it was ${code}`), { code, ...more }) });
};

function expectedClass(status: number): FaultClass {
  if (status === 429) return 'rate_limited';
  if (status === 408 || status === 425) return 'transient';
  return status >= 300 && status < 500 ? 'permanent' : 'ambiguous';
}

describe('the fault table', () => {
  it.each(Array.from({ length: 400 }, (_, n) => n + 200))('knows what an answer of %i means', (status) => {
    const fault = faultFrom(new Error('it failed'), answered(status, { 'retry-after': '3' }), {});
    expect(fault.class).toBe(expectedClass(status));
    expect(fault.status).toBe(status);
    expect(fault.credential ?? false).toBe(status === 401 || status === 403);
    const waits = status === 429 || status === 408 || status === 425 || status >= 500;
    expect(fault.retryAfterMs).toBe(waits ? 3_000 : null);
  });

  it('says that a port is refused before anything is sent, since trying again changes nothing', () => {
    const error = new TypeError('fetch failed', { cause: new Error('bad port') });
    expect(faultFrom(error, unanswered('none', 0), {})).toMatchObject({ class: 'permanent', reason: 'port_refused' });
  });

  it("finds a certificate's error where nodemailer hides it", () => {
    const error = Object.assign(new Error('self-signed certificate'), {
      code: 'ESOCKET',
      originalCode: 'DEPTH_ZERO_SELF_SIGNED_CERT',
    });
    expect(faultFrom(error, unanswered('none'), {})).toMatchObject({ class: 'transient', reason: 'tls' });
  });

  it('names the reasons', () => {
    const reason = (status: number) => faultFrom(new Error('no'), answered(status), {}).reason;
    expect([200, 302, 404, 429, 503].map(reason)).toEqual([
      'unreadable_reply',
      'redirected',
      'http_404',
      'too_many_requests',
      'http_503',
    ]);
    expect(faultFrom(new Error('no'), answered(429), {}).retryAfterMs).toBeNull();
  });

  const timeout = new DOMException('No answer within 10 ms.', 'TimeoutError');
  const table: [string, unknown, FaultClass, FaultClass, string][] = [
    // error, when nothing was sent, when something was
    ['a refused connection', coded('ECONNREFUSED'), 'transient', 'ambiguous', 'connection_refused'],
    ['an unknown host', coded('ENOTFOUND'), 'transient', 'ambiguous', 'dns'],
    ['a resolver that is down', coded('EAI_AGAIN'), 'transient', 'ambiguous', 'dns'],
    ['an unreachable network', coded('ENETUNREACH'), 'transient', 'ambiguous', 'unreachable'],
    ['a slow handshake', coded('UND_ERR_CONNECT_TIMEOUT'), 'transient', 'ambiguous', 'timeout'],
    ['a certificate', coded('DEPTH_ZERO_SELF_SIGNED_CERT'), 'transient', 'ambiguous', 'tls'],
    ['a foreign certificate', coded('ERR_TLS_CERT_ALTNAME_INVALID'), 'transient', 'ambiguous', 'tls'],
    ['our own timeout', timeout, 'transient', 'ambiguous', 'timeout'],
    ['a wrapped timeout', new Error('request failed', { cause: timeout }), 'transient', 'ambiguous', 'timeout'],
    ['a reset', coded('ECONNRESET'), 'transient', 'ambiguous', 'connection_lost'],
    ['a closed socket', coded('UND_ERR_SOCKET'), 'transient', 'ambiguous', 'connection_lost'],
  ];

  it.each(table)('sorts %s by what had left the machine', (_, error, before, after, reason) => {
    expect(faultFrom(error, unanswered('none'), {})).toMatchObject({ class: before, reason, status: null });
    expect(faultFrom(error, unanswered('headers'), {})).toMatchObject({ class: after, reason });
    expect(faultFrom(error, unanswered('body'), {})).toMatchObject({ class: after, reason });
  });

  it('does not take silence for proof: what no request explains is ambiguous, unless the error itself proves it', () => {
    const silent = unanswered('none', 0);
    expect(faultFrom(new Error('what?'), silent, {}).class).toBe('ambiguous');
    expect(faultFrom(coded('ECONNRESET'), silent, {}).class).toBe('ambiguous');
    expect(faultFrom(coded('ETIMEDOUT', { syscall: 'read' }), silent, {}).class).toBe('transient');
    expect(faultFrom(coded('ECONNREFUSED'), silent, {}).class).toBe('transient');
  });

  it.each([undefined, null, 0, 'text', {}, [], Symbol('odd'), () => {}])('survives that %o was thrown', (thrown) => {
    expect(faultFrom(thrown, unanswered('body'), {})).toMatchObject({ class: 'ambiguous', reason: 'connection_lost' });
  });

  it('believes a vendor code before the status, but not a doubt where nothing was sent', () => {
    const said = { reason: 'vendor_code', message: 'The vendor knows.', status: 200, retryAfterMs: null };
    const permanent = { classify: () => ({ ...said, class: 'permanent' as const }) };
    const ambiguous = { classify: () => ({ ...said, class: 'ambiguous' as const }) };
    expect(faultFrom(new Error('no'), answered(200), permanent)).toMatchObject({
      class: 'permanent',
      reason: 'vendor_code',
    });
    expect(faultFrom(new Error('no'), unanswered('none'), ambiguous).class).toBe('transient');
  });

  it('decides by itself when an adapter stumbles over the error', () => {
    const classify = () => {
      throw new Error('no such property');
    };
    expect(faultFrom(new Error('odd'), answered(503), { classify })).toMatchObject({ class: 'ambiguous', status: 503 });
  });

  it('finds a fault that was already understood under what SDKs wrapped around it', () => {
    const fault = {
      class: 'permanent',
      reason: 'address_refused',
      message: 'No.',
      status: null,
      retryAfterMs: null,
    } as const;
    const wrapped = new Error('SDK', { cause: new TypeError('fetch failed', { cause: new FaultError(fault) }) });
    expect(faultFrom(wrapped, unanswered('none'), {})).toEqual(fault);
  });

  it('says what happened in one short text without secrets', () => {
    const redact = redactor({ token: 'very-secret' });
    const loop = new Error('it is very-secret');
    loop.cause = loop;
    expect(faultFrom(loop, answered(400), {}, redact).message).toBe('it is [redacted]');
    const long = faultFrom(new Error('very-secret '.repeat(200)), answered(400), {}, redact).message;
    expect(long.length).toBeLessThanOrEqual(500);
    expect(long).not.toContain('very-secret');
  });
});
