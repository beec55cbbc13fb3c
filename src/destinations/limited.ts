import { Response } from 'undici';

/**
 * Four megabytes hold a page of fifty Teams messages at their largest (28 KB each, and HTML that the server adds); more than
 * that is not a reply that an adapter could use, and a destination must not be able to fill our memory.
 */
export const replyLimitBytes = 4 * 1024 * 1024;

/** Of a request that changes something this leaves a doubt: the service may have done it before it began to talk. */
class ReplyTooLong extends Error {
  readonly code = 'ERR_REPLY_TOO_LONG';
  constructor() {
    super(`The reply is longer than ${replyLimitBytes / 1024 / 1024} MB, so the rest of it was not read.`);
    this.name = 'ReplyTooLong';
  }
}

/** The same reply, whose body breaks off with an error past the limit. Counted is what was unpacked: a few hundred bytes can hold gigabytes. */
export function limited(reply: Response): Response {
  const { body, status, statusText, headers, url } = reply;
  if (!body) return reply;
  if (status < 200 || status > 599) {
    body.cancel().catch(() => {});
    throw new Error(`The service answered with the status ${status}, which HTTP does not have.`);
  }
  let bytes = 0;
  const counter = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      if (bytes > replyLimitBytes) throw new ReplyTooLong();
      controller.enqueue(chunk);
    },
  });
  const copy = new Response(body.pipeThrough(counter), { status, statusText, headers });
  return Object.defineProperty(copy, 'url', { value: url });
}
