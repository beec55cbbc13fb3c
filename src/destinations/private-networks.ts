import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Which addresses may be reached besides those of the public Internet: none, all, or those in some networks (`10.0.0.0/8`). */
export type PrivateNetworks = boolean | readonly string[];

type Address = ipaddr.IPv4 | ipaddr.IPv6;

/**
 * Where clouds answer every program of a machine with its credentials, and what is only on this cable. Nobody means these when they
 * open all private networks, or one that happens to contain them.
 */
const onlyByName = [
  '169.254.0.0/16',
  'fe80::/10',
  // AWS and Google over IPv6, Alibaba, Azure, Oracle.
  'fd00:ec2::254/128',
  'fd20:ce::254/128',
  '100.100.100.200/32',
  '168.63.129.16/32',
  '192.0.0.192/32',
];

function parsed(address: string): Address | null {
  const literal = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  // `process` turns an IPv4-mapped IPv6 address into the IPv4 address that the system would connect to.
  return ipaddr.isValid(literal) ? ipaddr.process(literal) : null;
}

/** The IPv4 address that an IPv6 address leads to: by NAT64 (RFC 6052), which wraps all of the old Internet, or by 6to4. */
function embedded(address: Address): { nat64?: Address; other?: Address } {
  const bytes = address.toByteArray();
  if (address.range() === 'rfc6052') return { nat64: ipaddr.fromByteArray(bytes.slice(12)) };
  if (address.range() === '6to4') return { other: ipaddr.fromByteArray(bytes.slice(2, 6)) };
  return {};
}

function isIn(address: Address, network: string): boolean {
  const [base, prefix] = ipaddr.parseCIDR(network);
  return address.kind() === base.kind() && address.match(base, prefix);
}

/** True for what is plainly on the public Internet. Of IPv6 only 2000::/3 has been given out. */
function isPublic(address: Address): boolean {
  if (address.range() !== 'unicast') return false;
  return address.kind() === 'ipv4' || isIn(address, '2000::/3');
}

/**
 * Why an address may not be reached, or null where it may. `plain` asks for a connection without TLS, which may not leave for the public
 * Internet unless all is allowed.
 */
export function refusal(
  address: string,
  allowed: PrivateNetworks,
  { plain = false } = {},
): 'private' | 'metadata' | 'plain' | null {
  const outer = parsed(address);
  if (!outer) return 'private';
  const { nat64, other } = embedded(outer);
  const actual = nat64 ?? outer;
  const listed = Array.isArray(allowed) ? allowed.filter((network) => isIn(actual, network)) : [];
  const closed = onlyByName.find((network) => isIn(actual, network) || (other && isIn(other, network)));
  if (closed) return listed.some((network) => isWithin(network, closed)) ? null : 'metadata';
  if (allowed === true || listed.length > 0) return null;
  if (!isPublic(actual)) return 'private';
  return plain ? 'plain' : null;
}

/** True when all of `network` lies in `other`, so that whoever wrote it meant nothing else. */
function isWithin(network: string, other: string): boolean {
  const [base, prefix] = ipaddr.parseCIDR(network);
  const [, least] = ipaddr.parseCIDR(other);
  return prefix >= least && isIn(base, other);
}

/** True for every address that is not plainly on the public Internet: loopback, private, link-local, carrier-grade NAT, reserved, … */
export function isPrivate(address: string): boolean {
  return refusal(address, false) !== null;
}

/** A network as it may be listed, with its prefix; an address alone is a network of one. Throws an Error that says what is wrong. */
export function networkFrom(entry: string): string {
  const [address = '', prefix, ...more] = entry.split('/');
  const family = isIP(address);
  const most = family === 6 ? 128 : 32;
  const length = prefix ?? String(most);
  if (!family || more.length > 0 || address.includes('%') || !/^\d{1,3}$/.test(length) || Number(length) > most) {
    throw new Error(`"${entry}" is no network`);
  }
  const network = `${address}/${Number(length)}`;
  if (family === 6 && ipaddr.IPv6.parse(address).isIPv4MappedAddress()) {
    throw new Error(`"${entry}" has to be written as IPv4`);
  }
  const base = family === 6 ? ipaddr.IPv6.networkAddressFromCIDR(network) : ipaddr.IPv4.networkAddressFromCIDR(network);
  const whole = `${base}/${Number(length)}`;
  if (`${ipaddr.parse(address)}` !== `${base}`)
    throw new Error(`"${entry}" has bits beyond its prefix, write ${whole}`);
  return whole;
}
