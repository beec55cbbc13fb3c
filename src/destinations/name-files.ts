import type { LookupAddress } from 'node:dns';
import { readFile, stat } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname } from 'node:os';

export interface Search {
  /** Domains in which a short name may be meant. */
  search: string[];
  /** With so many dots a name is first taken as it is. */
  ndots: number;
  /** Another one when the machine's name servers may be others. */
  version: string;
}

export interface NameFiles {
  hosts(): Promise<Map<string, LookupAddress[]>>;
  search(): Promise<Search>;
}

const windows = process.platform === 'win32';

/** A file is looked at again after so many milliseconds, because containers and VPNs write these anew. */
const freshMs = 2_000;
/** Where there is no such file, the machine's servers may have changed after so many milliseconds. */
const unwrittenMs = 30_000;

/** What this machine's files say about names; a file that is missing says nothing. */
export function createNameFiles({
  hosts = windows ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts',
  resolvConf = '/etc/resolv.conf',
} = {}): NameFiles {
  return { hosts: kept(hosts, hostsIn), search: kept(resolvConf, searchIn) };
}

function kept<T>(path: string, parse: (text: string, version: string) => T): () => Promise<T> {
  let known: { version: string; what: T } | undefined;
  let lookedAt = Number.NEGATIVE_INFINITY;
  return async () => {
    if (known && performance.now() - lookedAt < freshMs) return known.what;
    const version = await versionOf(path);
    if (known?.version !== version) {
      const text = await readFile(path, 'utf8').catch(() => '');
      known = { version, what: parse(text, version) };
    }
    lookedAt = performance.now();
    return known.what;
  };
}

async function versionOf(path: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(path);
    return `${mtimeMs} ${size} ${ino}`;
  } catch {
    return `none ${Math.floor(Date.now() / unwrittenMs)}`;
  }
}

function linesOf(text: string): string[][] {
  const lines = text.split('\n').map((line) => line.replace(/[#;].*/, '').trim());
  return lines.filter((line) => line !== '').map((line) => line.toLowerCase().split(/\s+/));
}

function hostsIn(text: string): Map<string, LookupAddress[]> {
  const hosts = new Map<string, LookupAddress[]>();
  for (const [address = '', ...names] of linesOf(text)) {
    const family = isIP(address);
    if (!family) continue;
    for (const name of names) hosts.set(name, [...(hosts.get(name) ?? []), { address, family }]);
  }
  return hosts;
}

/** `man 5 resolv.conf`: the last `search` or `domain` counts; without one, the domain of this machine's own name. */
function searchIn(text: string, version: string): Search {
  const [, ...own] = hostname().split('.');
  let search = own.length > 0 ? [own.join('.')] : [];
  let ndots = 1;
  for (const [keyword, ...values] of linesOf(text)) {
    if (keyword === 'search' || keyword === 'domain') {
      search = values.map((domain) => domain.replace(/\.$/, '')).filter((domain) => domain !== '');
    }
    if (keyword !== 'options') continue;
    for (const option of values) {
      const [, dots] = /^ndots:(\d{1,2})$/.exec(option) ?? [];
      if (dots !== undefined) ndots = Math.min(Number(dots), 15);
    }
  }
  return { search, ndots, version };
}
