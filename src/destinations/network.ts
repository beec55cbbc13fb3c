import type { LookupAddress, LookupOptions } from 'node:dns';
import { lookup as resolveSystemwide } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { Agent, buildConnector, type Dispatcher, Headers, type HeadersInit, fetch as undiciFetch } from 'undici';
import { FaultError } from './adapter.ts';
import { limited, replyLimitBytes } from './limited.ts';
import { leaveBy, witnessed } from './wire.ts';

/** The one door to the world: whatever leaves for a destination or a callback leaves through here. */
export interface Network {
  /** Like global `fetch`, but guarded, and a redirect is never followed: it is answered as it is, or refused with 'error'. */
  fetch: typeof globalThis.fetch;
  /** The fast path, for what needs no SDK: about seven times the throughput of `fetch` on one core. */
  request(url: string | URL, options: RequestOptions): Promise<Dispatcher.ResponseData>;
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
 * How many requests a destination may have in flight is its lane's to say, and destinations may share an origin. This only keeps one
 * origin from taking every socket that the process may open.
 */
const connectionsPerOrigin = 512;

/**
 * True for every address that is not plainly on the public Internet: loopback, private, link-local (with the cloud's metadata
 * service at 169.254.169.254), carrier-grade NAT, unique local, multicast, reserved, and IPv6 that wraps any IPv4 of these.
 */
export function isPrivate(address: string): boolean {
  const literal = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  if (!ipaddr.isValid(literal)) return true;
  // `process` turns an IPv4-mapped IPv6 address into the IPv4 address that the system would connect to. 6to4 and Teredo
  // have ranges of their own and are refused with the rest: nobody addresses a public service by them.
  const parsed = ipaddr.process(literal);
  // Where only IPv6 is spoken, the resolver itself wraps all of the old Internet like this (NAT64, RFC 6052).
  if (parsed.range() === 'rfc6052') return ipaddr.fromByteArray(parsed.toByteArray().slice(12)).range() !== 'unicast';
  return parsed.range() !== 'unicast';
}

function refused(what: string): FaultError {
  return new FaultError({
    class: 'permanent',
    reason: 'address_refused',
    message: `${what} Set TOCSIN_ALLOW_PRIVATE_NETWORKS=true if destinations may be on this network.`,
    status: null,
    retryAfterMs: null,
  });
}

function refusedAddress(hostname: string): FaultError {
  return refused(`${hostname} is, or resolves to, an address that is not on the public Internet.`);
}

const asked = new Map<string, Promise<LookupAddress[]>>();

/**
 * All addresses of a name. The system resolves names on four threads only: questions for the same name share one, so that a host whose name
 * server is down cannot take them all.
 */
function addressesOf(hostname: string): Promise<LookupAddress[]> {
  const pending = asked.get(hostname);
  if (pending) return pending;
  const answer = resolveSystemwide(hostname, { all: true }).finally(() => asked.delete(hostname));
  asked.set(hostname, answer);
  return answer;
}

/** Checks names where they are resolved for the connection itself, so that a second, different answer cannot slip past. */
function guardedLookup(allowPrivateNetworks: boolean): LookupFunction {
  return (hostname, options: LookupOptions, callback) => {
    const family = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : options.family;
    addressesOf(hostname).then(
      (found) => {
        if (!allowPrivateNetworks && found.some(({ address }) => isPrivate(address))) {
          return callback(refusedAddress(hostname), '', 0);
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

function guardedConnector(allowPrivateNetworks: boolean): buildConnector.connector {
  const connect = buildConnector({
    lookup: guardedLookup(allowPrivateNetworks),
    // Less than the shortest sensible deadline, so that a dead host is told apart from a slow answer.
    timeout: 5_000,
    allowH2: false,
  } as buildConnector.BuildOptions);
  return (options, callback) => {
    if (!allowPrivateNetworks) {
      if (options.protocol !== 'https:') {
        return callback(refused(`Only https:// is spoken to ${options.hostname}.`), null);
      }
      const literal = options.hostname.replace(/^\[|\]$/g, '');
      // A literal is connected to without any lookup.
      if (isIP(literal) && isPrivate(literal)) return callback(refusedAddress(options.hostname), null);
    }
    connect(options, callback);
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

export function createNetwork({ allowPrivateNetworks }: { allowPrivateNetworks: boolean }): Network {
  const lookup = guardedLookup(allowPrivateNetworks);
  const agent = new Agent({
    connect: guardedConnector(allowPrivateNetworks),
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

    request(url, options) {
      const { origin, pathname, search } = new URL(url);
      return way.request({ ...options, origin, path: `${pathname}${search}` });
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
