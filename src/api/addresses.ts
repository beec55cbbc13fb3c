import { type PrivateNetworks, refusal } from '../destinations/private-networks.ts';
import { type Flaw, pointerTo } from './problems.ts';

const remedy = 'if this is meant, list its network in TOCSIN_ALLOW_PRIVATE_NETWORKS, or set that to true, and restart';

const reasons = {
  private: `is not an address on the public Internet; ${remedy}`,
  plain: `must have an https:// URL; ${remedy}`,
  metadata: 'is a link-local or metadata address; if this is meant, list it by itself in TOCSIN_ALLOW_PRIVATE_NETWORKS',
};

/**
 * What can be said against a URL before anything is resolved: a name that leads into a private network is only known, and
 * refused, when it is connected to. Null when nothing can.
 */
export function objection(text: string, allowed: PrivateNetworks): string | null {
  const url = URL.parse(text);
  if (!url) return null;
  const plain = url.protocol === 'http:';
  if (plain && allowed === false) return `must begin with https://; ${remedy}`;
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '');
  if (host === 'localhost' || host.endsWith('.localhost')) {
    const open = ['127.0.0.1', '::1'].some((address) => refusal(address, allowed) === null);
    return open ? null : `${host} is this machine; ${remedy}`;
  }
  // Only http and https addresses are brought into their usual form by URL; others may write 127.1.
  if (!host.includes(':') && !/^[\d.]+$|^0x[\da-f.x]+$/i.test(host)) return null;
  const reason = refusal(host, allowed, { plain });
  return reason && `${host} ${reasons[reason]}`;
}

/** Every URL in a destination's settings or secrets that may not be reached. */
export function refusedUrls(value: unknown, path: PropertyKey[], allowed: PrivateNetworks): Flaw[] {
  if (typeof value === 'string') {
    if (!/url$/i.test(String(path.at(-1)))) return [];
    const detail = objection(value, allowed);
    return detail ? [{ pointer: pointerTo(path), detail }] : [];
  }
  if (value === null || typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([key, part]) => refusedUrls(part, [...path, key], allowed));
}
