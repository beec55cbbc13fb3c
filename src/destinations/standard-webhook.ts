import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import type { Fault } from '../delivery/outcome.ts';
import type { Call } from './adapter.ts';
import { describe } from './faults.ts';
import { trimChars } from './trim.ts';
import type { Wire } from './wire.ts';

/** The key as Standard Webhooks writes it: base64 after a prefix. */
export const SigningSecret = z
  .string()
  .regex(/^whsec_[A-Za-z0-9+/]{4,}={0,2}$/, 'must be "whsec_" and a key in base64 (24 to 64 random bytes)');

export const WebhookUrl = z.url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' }).max(2048);

/** What a receiver's reasons may weigh in a fault's message. */
const reasonLimit = 300;

export interface WebhookPost extends Pick<Call<unknown, unknown, never>, 'request' | 'signal'> {
  /** May carry userinfo, which goes into `authorization`. */
  url: string;
  headers?: Record<string, string>;
  signingSecret?: string;
  /** `webhook-id` and `idempotency-key`: the same for every repetition, so that a receiver can drop them. Without a full stop. */
  id: string;
  body: string;
}

function basic({ username, password }: URL): Record<string, string> {
  if (!username && !password) return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

/** https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#webhook-headers-sending-metadata-to-consumers */
function signed({ id, body, signingSecret }: WebhookPost): Record<string, string> {
  const now = new Date();
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    ...(signingSecret && { 'webhook-signature': new Webhook(signingSecret).sign(id, now, body) }),
  };
}

/** The beginning of what the receiver says, as far as it comes. */
async function reason(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    for await (const chunk of body) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > reasonLimit) break;
    }
  } catch {
    // The status said enough.
  }
  return trimChars(text.replace(/\s+/g, ' ').trim(), reasonLimit);
}

/**
 * Posts one webhook and resolves with the status, which is 2xx. Throws for any other: the status itself is on the wire.
 */
export async function postWebhook(post: WebhookPost): Promise<number> {
  const url = new URL(post.url);
  const { statusCode, body } = await post.request(url, {
    method: 'POST',
    headers: {
      'user-agent': 'tocsin',
      ...basic(url),
      ...lowerCased(post.headers ?? {}),
      'content-type': 'application/json',
      // A structured-field string. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
      'idempotency-key': `"${post.id}"`,
      ...signed(post),
    },
    body: post.body,
    signal: post.signal,
  });
  if (statusCode < 200 || statusCode > 299) {
    const said = await reason(body);
    throw new Error(`The receiver answered ${statusCode}${said ? `: ${said}` : '.'}`);
  }
  // The status is the whole answer: a body that never ends must not turn a delivery into a doubt.
  body.dump({ limit: 64 * 1024 }).catch(() => {});
  return statusCode;
}

/** What a receiver's status means beyond the shared table. */
export function classifyReceiver(error: unknown, { status }: Wire): Fault | undefined {
  const fault = {
    class: 'permanent',
    reason: `http_${status}`,
    message: describe(error),
    status,
    retryAfterMs: null,
  } as const;
  // "The endpoint is gone": Standard Webhooks asks senders to stop, so that the whole destination waits for a person.
  if (status === 410) return { ...fault, credential: true };
  // Firewalls in front of receivers answer 403 to single messages whose text they dislike; that says nothing of the next one.
  if (status === 403) return fault;
  return undefined;
}
