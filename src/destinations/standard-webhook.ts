import { Webhook } from 'standardwebhooks';
import { z } from 'zod';
import type { Fault } from '../delivery/outcome.ts';
import type { Call } from './adapter.ts';
import { describe } from './faults.ts';
import type { Wire } from './wire.ts';

/** Standard Webhooks: 24 to 64 random bytes in base64, after a prefix. */
export const SigningSecret = z.string().refine((text) => {
  const [, key = ''] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const bytes = Buffer.from(key, 'base64');
  return bytes.length >= 24 && bytes.length <= 64 && unpadded(bytes.toString('base64')) === unpadded(key);
}, 'must be "whsec_" and 24 to 64 random bytes in base64');

const unpadded = (base64: string) => base64.replace(/=+$/, '');

export const WebhookUrl = z.url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' }).max(2048);

/** So long, in milliseconds, a receiver may go on talking after its status; a connection whose answer has ended by then is used again. */
const afterStatusMs = 1_000;
/** So many bytes of an answer are read. Its status is the answer; of a refusal's words far less is ever shown. */
const answerLimit = 64 * 1024;
const reasonLimit = 16 * 1024;

/** So many answers of one origin may be read to their end at a time, while their attempts are over already. */
const leftoversAtMost = 64;

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

type Body = Awaited<ReturnType<WebhookPost['request']>>['body'];

/** Ends `body`, and with it its connection, when it goes on for too long or the attempt is over. Its end undoes this. */
function bounded(body: Body, signal: AbortSignal): void {
  const end = () => void body.destroy();
  const timer = setTimeout(end, afterStatusMs);
  signal.addEventListener('abort', end, { once: true });
  body.once('close', () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', end);
  });
  // A reader of the body gets its error. Without a listener, the error of a body that nobody reads would end the process.
  body.on('error', () => {});
}

/** The beginning of what the receiver says, as far as it comes. Ends with `…` when there is more. */
async function reason(body: Body, signal: AbortSignal): Promise<string> {
  bounded(body, signal);
  const decoder = new TextDecoder();
  let text = '';
  let whole = false;
  try {
    for await (const chunk of body) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length > reasonLimit) break;
    }
    whole = text.length <= reasonLimit;
  } catch {
    // The status said enough.
  }
  const said = text.slice(0, reasonLimit).replace(/\s+/g, ' ').trim();
  return whole || said === '' ? said : `${said}…`;
}

const leftovers = new Map<string, number>();

/** Reads an answer that nobody waits for to its end, so that its connection can be used again; or gives the connection up. */
function letGo(body: Body, origin: string, signal: AbortSignal): void {
  const others = leftovers.get(origin) ?? 0;
  bounded(body, signal);
  if (others >= leftoversAtMost) return void body.destroy();
  leftovers.set(origin, others + 1);
  body.once('close', () => {
    const left = (leftovers.get(origin) ?? 1) - 1;
    if (left > 0) leftovers.set(origin, left);
    else leftovers.delete(origin);
  });
  body.dump({ limit: answerLimit }).catch(() => {});
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
    const said = await reason(body, post.signal);
    throw new Error(`The receiver answered ${statusCode}${said ? `: ${said}` : '.'}`);
  }
  // The status is the whole answer: a body that never ends must not turn a delivery into a doubt.
  letGo(body, url.origin, post.signal);
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
