import type { LookupAddress, LookupOptions } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { Agent, buildConnector, type Dispatcher, Headers, type HeadersInit, fetch as undiciFetch } from 'undici';
import { FaultError } from './adapter.ts';
import { limited, replyLimitBytes } from './limited.ts';
import { createNames, type NameSources } from './names.ts';
import { networkFrom, type PrivateNetworks, refusal } from './private-networks.ts';
import { Exchange, type Reply } from './reply.ts';
import { leaveBy, witnessed } from './wire.ts';

/** The one door to the world: whatever leaves for a destination or a callback leaves through here. */
export interface Network {
  /** Like global `fetch`, but guarded, and a redirect is never followed: it is answered as it is, or refused with 'error'. */
  fetch: typeof globalThis.fetch;
  /** The fast path, for what needs no SDK: a small part of the work that `fetch` takes. Resolves when the status is there. */
  request(url: string | URL, options: RequestOptions): Promise<Reply>;
  /** For transports other than HTTP (`net.connect({ lookup })`): a name with any refused address does not resolve. */
  lookup: LookupFunction;
  /** All addresses of a host name or literal. Throws a FaultError (`address_refused`) when one of them may not be reached. */
  assertPublic(hostname: string): Promise<LookupAddress[]>;
  close(): Promise<void>;
}

export interface RequestOptions {
  method: Dispatcher.HttpMethod;
  headers?: Record<string, string>;
  body?: string | Buffer;
  signal?: AbortSignal;
}

/**
 * The claim bounds how many requests a destination has in flight, and destinations may share an origin. This only keeps one
 * origin from taking every socket that the process may open.
 */
const connectionsPerOrigin = 512;

const reasons = {
  private: (host: string) => `${host} is, or resolves to, an address that is not on the public Internet.`,
  plain: (host: string) => `Only https:// is spoken to ${host}.`,
  metadata: (host: string) => `${host} is, or resolves to, a link-local or metadata address.`,
};

const remedies = {
  private:
    'Set TOCSIN_ALLOW_PRIVATE_NETWORKS=true, or to a list with its network, if destinations may be on this network.',
  plain:
    'Set TOCSIN_ALLOW_PRIVATE_NETWORKS=true, or to a list with its network, if destinations may be on this network.',
  metadata: 'List it by itself in TOCSIN_ALLOW_PRIVATE_NETWORKS if destinations may be there.',
};

function refused(hostname: string, reason: keyof typeof reasons): FaultError {
  return new FaultError({
    class: 'permanent',
    reason: 'address_refused',
    message: `${reasons[reason](hostname)} ${remedies[reason]}`,
    status: null,
    retryAfterMs: null,
  });
}

type Names = ReturnType<typeof createNames>;

/** Checks names where they are resolved for the connection itself, so that a second, different answer cannot slip past. */
function guardedLookup(names: Names, allowed: PrivateNetworks, how: { plain: boolean }): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    const family = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : options.family;
    names(hostname).then(
      (found) => {
        for (const { address } of found) {
          const reason = refusal(address, allowed, how);
          if (reason) return callback(refused(hostname, reason), '', 0);
        }
        const addresses = family ? found.filter((each) => each.family === family) : found;
        const [first] = addresses;
        if (!first)
          return callback(Object.assign(new Error(`${hostname} has no address`), { code: 'ENOTFOUND' }), '', 0);
        if (options.all) return callback(null, addresses);
        callback(null, first.address, first.family);
      },
      (error) => callback(error, '', 0),
    );
  };
}

function guardedConnector(names: Names, allowed: PrivateNetworks): buildConnector.connector {
  const connector = (plain: boolean) =>
    buildConnector({
      lookup: guardedLookup(names, allowed, { plain }),
      // Less than the shortest sensible deadline, so that a dead host is told apart from a slow answer.
      timeout: 5_000,
      allowH2: false,
    } as buildConnector.BuildOptions);
  const connectors = { plain: connector(true), secure: connector(false) };
  return (options, callback) => {
    const plain = options.protocol !== 'https:';
    // Without a list there is no address to which plain HTTP may go, so that the name need not be asked for.
    if (plain && allowed === false) return callback(refused(options.hostname, 'plain'), null);
    const literal = options.hostname.replace(/^\[|\]$/g, '');
    // A literal is connected to without any lookup.
    const reason = isIP(literal) ? refusal(literal, allowed, { plain }) : null;
    if (reason) return callback(refused(options.hostname, reason), null);
    connectors[plain ? 'plain' : 'secure'](options, callback);
  };
}

/**
 * Refuses a request whose connection stands only after the attempt's time to leave: the machine slept while it was made, and the
 * steady clock, by which deadlines run, slept with it.
 */
function inTime(handler: Dispatcher.DispatchHandler): Dispatcher.DispatchHandler {
  const until = leaveBy();
  const start = handler.onRequestStart;
  handler.onRequestStart = function (controller, context) {
    if (Date.now() > until) return controller.abort(tooLate());
    return start?.call(this, controller, context);
  };
  return handler;
}

function tooLate(): FaultError {
  const message = 'The process stood still while it connected, so that nothing was sent.';
  return new FaultError({
    class: 'transient',
    reason: 'claim_stale',
    message,
    status: null,
    retryAfterMs: null,
    ours: true,
  });
}

export interface NetworkOptions {
  allowPrivateNetworks: PrivateNetworks;
  /** Where names come from; the machine's own sources when left out. */
  names?: NameSources;
}

export function createNetwork({ allowPrivateNetworks: allow, names: sources }: NetworkOptions): Network {
  const allowPrivateNetworks = typeof allow === 'boolean' ? allow : allow.map(networkFrom);
  const names = createNames(sources);
  const lookup = guardedLookup(names, allowPrivateNetworks, { plain: false });
  const agent = new Agent({
    connect: guardedConnector(names, allowPrivateNetworks),
    // One pool per origin: a stalled origin only ever holds its own sockets.
    connections: connectionsPerOrigin,
    pipelining: 1,
    // HTTP/2 would put many attempts on one connection, which then fail together, and hides them from the wire oracle.
    allowH2: false,
    // A net below the readers, which have limits of their own: it counts what came over the wire, packed or not.
    maxResponseSize: 2 * replyLimitBytes,
    // Between two pieces of a reply. The attempt's deadline is shorter.
    bodyTimeout: 60_000,
  });
  const way = agent.compose((dispatch) => (options, handler) => witnessed(() => dispatch(options, inTime(handler))));

  return {
    fetch: (async (input: string | URL, init: RequestInit = {}) => {
      const headers = new Headers(init.headers as HeadersInit);
      // Nothing is gained by packing a few kilobytes. A service that does so all the same is unpacked, up to the same limit.
      headers.set('accept-encoding', 'identity');
      const redirect = init.redirect === 'error' ? 'error' : 'manual';
      return limited(await undiciFetch(input, { ...(init as object), headers, redirect, dispatcher: way }));
    }) as unknown as typeof globalThis.fetch,

    async request(url, options) {
      const { origin, pathname, search } = typeof url === 'string' ? new URL(url) : url;
      const { method, headers = null, body = null, signal } = options;
      signal?.throwIfAborted();
      const { promise, resolve, reject } = Promise.withResolvers<Reply>();
      way.dispatch(
        { origin, path: `${pathname}${search}`, method, headers, body },
        new Exchange(resolve, reject, signal),
      );
      return promise;
    },

    lookup,

    assertPublic(hostname) {
      return new Promise((resolve, reject) => {
        lookup(hostname.replace(/^\[|\]$/g, ''), { all: true }, (error, addresses) => {
          if (error) reject(error);
          else resolve(addresses as LookupAddress[]);
        });
      });
    },

    // `close` would wait for a destination that never answers.
    close: () => agent.destroy(),
  };
}
