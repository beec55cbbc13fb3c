import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';
import type { Fault } from '../delivery/outcome.ts';
import type { Call } from './adapter.ts';
import { describe } from './faults.ts';
import type { Reply } from './reply.ts';
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

/** So many answers of one origin may be read to their end at a time, while their attempts are over already. */
const leftoversAtMost = 64;

export interface Receiver {
  /** May carry userinfo, which goes into `authorization`. */
  url: string;
  headers?: Record<string, string>;
}

export interface ReceiverSecrets {
  signingSecret?: string;
}

export interface WebhookPost
  extends Pick<Call<Receiver, ReceiverSecrets, never>, 'settings' | 'secrets' | 'request' | 'signal'> {
  /** `webhook-id` and `idempotency-key`: the same for every repetition, so that a receiver can drop them. Without a full stop. */
  id: string;
  body: string;
}

/** The parts that all posts to one receiver share. */
interface Address {
  url: URL;
  headers: Record<string, string>;
  key: KeyObject | null;
}

const addresses = new WeakMap<Receiver, { secrets: ReceiverSecrets; address: Address }>();

/** Reads a configuration once: a URL and a key take longer to make than a request. */
function addressOf(settings: Receiver, secrets: ReceiverSecrets): Address {
  const known = addresses.get(settings);
  if (known?.secrets === secrets) return known.address;
  const url = new URL(settings.url);
  const headers = {
    'user-agent': 'tocsin',
    ...basic(url),
    ...lowerCased(settings.headers ?? {}),
    'content-type': 'application/json',
  };
  const address = { url, headers, key: keyOf(secrets) };
  addresses.set(settings, { secrets, address });
  return address;
}

function basic({ username, password }: URL): Record<string, string> {
  if (!username && !password) return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
}

function lowerCased(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}

function keyOf({ signingSecret }: ReceiverSecrets): KeyObject | null {
  return signingSecret ? createSecretKey(signingSecret.slice('whsec_'.length), 'base64') : null;
}

/**
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md#signature-scheme
 * Not with the package of that name: it computes in JavaScript what Node.js does five times as fast.
 */
function signature(key: KeyObject, signed: string): string {
  return `v1,${createHmac('sha256', key).update(signed).digest('base64')}`;
}

/** The beginning of what the receiver says, as far as it comes. Ends with `…` when there is more. */
async function reason(reply: Reply): Promise<string> {
  await soonOver(reply);
  const { text, whole } = reply.said();
  const said = text.replace(/\s+/g, ' ').trim();
  return whole || said === '' ? said : `${said}…`;
}

/** Resolves when the answer is over, and ends one that goes on for too long. */
async function soonOver(reply: Reply): Promise<void> {
  const timer = setTimeout(() => reply.cut(), afterStatusMs);
  await reply.over();
  clearTimeout(timer);
}

const leftovers = new Map<string, number>();

/** Has an answer that nobody waits for read to its end, so that its connection can be used again; or gives the connection up. */
async function letGo(reply: Reply, origin: string): Promise<void> {
  const others = leftovers.get(origin) ?? 0;
  if (others >= leftoversAtMost) return reply.cut();
  leftovers.set(origin, others + 1);
  await soonOver(reply);
  const left = (leftovers.get(origin) ?? 1) - 1;
  if (left > 0) leftovers.set(origin, left);
  else leftovers.delete(origin);
}

/**
 * Posts one webhook and resolves with the status, which is 2xx. Throws for any other: the status itself is on the wire.
 */
export async function postWebhook({ settings, secrets, id, body, request, signal }: WebhookPost): Promise<number> {
  const { url, headers, key } = addressOf(settings, secrets);
  const timestamp = String(Math.floor(Date.now() / 1000));
  const reply = await request(url, {
    method: 'POST',
    headers: {
      ...headers,
      // A structured-field string. https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
      'idempotency-key': `"${id}"`,
      'webhook-id': id,
      'webhook-timestamp': timestamp,
      ...(key && { 'webhook-signature': signature(key, `${id}.${timestamp}.${body}`) }),
    },
    body,
    signal,
  });
  const { status } = reply;
  if (status < 200 || status > 299) {
    const said = await reason(reply);
    throw new Error(`The receiver answered ${status}${said ? `: ${said}` : '.'}`);
  }
  // The status is the whole answer: a body that never ends must not turn a delivery into a doubt.
  if (!reply.isOver()) void letGo(reply, url.origin);
  return status;
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
