import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe } from 'node:diagnostics_channel';

/** How far an attempt got on the wire. `none` proves that nothing was applied. */
export interface Wire {
  /** HTTP requests that were created for this attempt. More than one write means that an SDK retried behind our back. */
  requests: number;
  sent: 'none' | 'headers' | 'body';
  /** Status and headers of the last response, recovered even where an SDK loses them. Header names are lower case. */
  status: number | null;
  headers: Record<string, string>;
  /** By the wall's clock: nothing of the attempt may leave later. */
  leaveBy?: number;
}

export function newWire(): Wire {
  return { requests: 0, sent: 'none', status: null, headers: {} };
}

interface RequestEvent {
  request: object;
  response?: { statusCode: number; headers: readonly (Buffer | string)[] };
}

const attempt = new AsyncLocalStorage<Wire>();

/**
 * A request is bound to its attempt when it is created: what happens to it later happens on the socket, which belongs to
 * whichever attempt opened it.
 */
const owners = new WeakMap<object, Wire>();

function on(channel: string, note: (wire: Wire, event: RequestEvent) => void): void {
  subscribe(channel, (message) => {
    const event = message as RequestEvent;
    const wire = owners.get(event.request);
    if (wire) note(wire, event);
  });
}

subscribe('undici:request:create', (message) => {
  const wire = attempt.getStore();
  if (!wire) return;
  wire.requests += 1;
  // The last response is the one that counts: a second request makes what the first one was told stale.
  wire.status = null;
  wire.headers = {};
  owners.set((message as RequestEvent).request, wire);
});

on('undici:client:sendHeaders', (wire) => {
  if (wire.sent === 'none') wire.sent = 'headers';
});

on('undici:request:bodySent', (wire) => {
  wire.sent = 'body';
});

on('undici:request:headers', (wire, { response }) => {
  if (!response) return;
  // An answer proves that something was sent, whichever event undici may have skipped.
  if (wire.sent === 'none') wire.sent = 'headers';
  wire.status = response.statusCode;
  wire.headers = {};
  for (let index = 0; index + 1 < response.headers.length; index += 2) {
    const name = String(response.headers[index]).toLowerCase();
    wire.headers[name] = String(response.headers[index + 1]);
  }
});

/**
 * Runs `run` and notes on `wire` what every HTTP request made in it did, whichever client made it: undici publishes the same
 * channels from its package and from within Node. A request that is not the attempt's own (a fresh access token, say) can be
 * observed on a wire of its own within.
 */
export function observe<T>(wire: Wire, run: () => Promise<T>): Promise<T> {
  return attempt.run(wire, run);
}

/** Until when, by the wall's clock, the attempt under way may send anything. */
export function leaveBy(): number {
  return attempt.getStore()?.leaveBy ?? Number.POSITIVE_INFINITY;
}

/**
 * Passes one request on. The channels are documented as experimental (https://undici.nodejs.org/#/docs/api/DiagnosticsChannel.md): should they
 * stop firing, silence must not pass for proof that nothing was sent, so that a request which none of them reported counts as sent.
 */
export function witnessed<T>(dispatch: () => T): T {
  const wire = attempt.getStore();
  const before = wire?.requests;
  try {
    return dispatch();
  } finally {
    if (wire && wire.requests === before) {
      wire.requests += 1;
      wire.sent = 'body';
    }
  }
}
