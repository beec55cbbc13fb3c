import type { Fault } from '../../delivery/outcome.ts';
import type { Wire } from '../wire.ts';

interface SmtpError {
  code?: string;
  command?: string;
  responseCode?: number;
  message?: string;
}

/**
 * The server's own answer decides, whichever command it came to: 4xx asks to come back later, 5xx never to
 * (https://www.rfc-editor.org/rfc/rfc5321#section-4.2.1), and either one, as the answer to the final dot, says that the mail was
 * not taken. Without an answer it depends on whether that dot had left, which the wire knows.
 */
export function classify(error: unknown, _wire: Wire): Fault | undefined {
  const { code, responseCode, message = 'The mail server refused.' } = (error ?? {}) as SmtpError;
  if (code === 'EAUTH' && !responseCode) {
    return {
      class: 'permanent',
      reason: 'no_credentials',
      message,
      status: null,
      retryAfterMs: null,
      credential: true,
    };
  }
  if (!responseCode || responseCode < 400) return undefined;
  const reason = code === 'ETLS' ? 'tls_refused' : `smtp_${responseCode}`;
  const fault = { reason, message, status: responseCode, retryAfterMs: null };
  // 503 says that the commands came in the wrong order: a muddle of this one connection.
  if (responseCode < 500 || responseCode === 503) return { ...fault, class: 'transient' };
  return { ...fault, class: 'permanent', ...(code === 'EAUTH' ? { credential: true } : {}) };
}
