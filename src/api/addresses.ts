import { isPrivate } from '../destinations/network.ts';
import { type Flaw, pointerTo } from './problems.ts';

const remedy = 'set TOCSIN_ALLOW_PRIVATE_NETWORKS=true if this is meant';

/**
 * What can be said against a URL before anything is resolved: a name that leads into a private network is only known, and
 * refused, when it is connected to. Null when nothing can.
 */
export function objection(text: string): string | null {
  const url = URL.parse(text);
  if (!url) return null;
  if (url.protocol === 'http:') return `only https:// may leave for the public Internet; ${remedy}`;
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (host === 'localhost' || host.endsWith('.localhost')) return `${host} is this machine; ${remedy}`;
  // Only http and https addresses are brought into their usual form by URL; others may write 127.1.
  const literal = host.includes(':') || /^[\d.]+$|^0x[\da-f.x]+$/i.test(host);
  if (literal && isPrivate(host)) return `${host} is not an address on the public Internet; ${remedy}`;
  return null;
}

/** Every URL in a destination's settings or secrets that may not be reached. */
export function refusedUrls(value: unknown, path: PropertyKey[]): Flaw[] {
  if (typeof value === 'string') {
    if (!/url$/i.test(String(path.at(-1)))) return [];
    const detail = objection(value);
    return detail ? [{ pointer: pointerTo(path), detail }] : [];
  }
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, part]) => refusedUrls(part, [...path, key]));
}
