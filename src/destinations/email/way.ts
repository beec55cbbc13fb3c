import { isIP } from 'node:net';
import { connectTimeoutMs } from './socket.ts';

const greetingTimeoutMs = 10_000;

/** A server may think about a mail for a while after its final dot; nodemailer's own ten minutes outlast every lease. */
const socketTimeoutMs = 30_000;

/** RFC 5321 (4.5.3.1.5) knows lines of 512 bytes; a long list of abilities is far below this. */
const replyLimitBytes = 64 * 1024;

/** How a mail server is spoken to: the same for sending and for trying, so that neither gives away what the other protects. */
export function wayTo(smtpUrl: string) {
  const url = new URL(smtpUrl);
  const secure = url.protocol === 'smtps:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const user = decodeURIComponent(url.username);
  return {
    auth: user ? { user, pass: decodeURIComponent(url.password) } : null,
    options: {
      host,
      port: Number(url.port) || (secure ? 465 : 587),
      secure,
      // A password is never sent in the clear, except within this machine. A server that does not offer STARTTLS is asked for it all the same:
      // somebody in between may have taken the offer away (https://www.rfc-editor.org/rfc/rfc3207#section-6).
      requireTLS: !secure && user !== '' && !isLocal(host),
      connectionTimeout: connectTimeoutMs,
      greetingTimeout: greetingTimeoutMs,
      socketTimeout: socketTimeoutMs,
      maxResponseSize: replyLimitBytes,
    },
  };
}

function isLocal(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
