import type { LookupAddress } from 'node:dns';
import { Resolver, lookup as resolveSystemwide } from 'node:dns/promises';
import { isIP } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { FaultError } from './adapter.ts';
import { createNameFiles, type NameFiles } from './name-files.ts';
import { createPlaces } from './places.ts';

/** Where names come from. Left out: from where every program of this machine takes them. */
export interface NameSources {
  /** Name servers, `127.0.0.1:53`. Else those of the machine. */
  servers?: string[];
  files?: NameFiles;
  /** Asked where no name server knows the name. */
  system?: (name: string) => Promise<LookupAddress[]>;
  /** So long, in milliseconds, a name may take. */
  patienceMs?: number;
}

/** Less than a connection may take, so that a silent name server is told from a silent host. */
const defaultPatienceMs = 4_500;
/** The first question waits so long for an answer, in milliseconds, and the second one twice as long. */
const questionMs = 1_500;
/** Where one family has an answer, the other one gets so much more time. */
const otherFamilyMs = 300;

/** So long, in milliseconds, a name whose servers kept silent is not asked for again. */
const silenceMs = 30_000;
/** So long, in milliseconds, the last addresses of a name stand in where its servers keep silent. */
const provenMs = 600_000;
const namesRemembered = 10_000;

/** Names without an answer in the last minutes, asked for at the same time. Others never wait for them. */
const unprovenAtMost = 256;
/** The system resolves names on four threads, which file access shares: it gets two at most. */
const systemAtMost = 2;

/** The servers did not say that there is no such name, only nothing, or that they cannot tell. */
class NoAnswer extends Error {
  readonly code = 'EAI_AGAIN';
  constructor(name: string, why: string) {
    super(`The name ${name} could not be looked up: ${why}.`);
    this.name = 'NoAnswer';
  }
}

/** Nobody was asked for this name, so that nothing is known of it or of whoever bears it. */
function crowded(name: string): FaultError {
  const message = `The name ${name} could not be looked up: too many other names are silent.`;
  return new FaultError({
    class: 'transient',
    reason: 'dns',
    message,
    status: null,
    retryAfterMs: null,
    ours: true,
  });
}

/**
 * Finds the addresses of names without the system's threads, on which a few silent name servers would stop every look-up of the process.
 * Order and search list are the system's: /etc/hosts, then the servers of /etc/resolv.conf. What these do not know is asked of the system,
 * which may know names by other ways (mDNS, for one), on two of its threads.
 */
export function createNames(sources: NameSources = {}): (hostname: string) => Promise<LookupAddress[]> {
  const { system = (name) => resolveSystemwide(name, { all: true }), patienceMs = defaultPatienceMs } = sources;
  const files = sources.files ?? createNameFiles();
  const resolverFor = createResolvers(sources.servers);
  const unproven = createPlaces(unprovenAtMost);
  const threads = createPlaces(systemAtMost);
  const known = new Map<string, { addresses: LookupAddress[]; at: number }>();
  const silent = new Map<string, number>();
  const asked = new Map<string, Promise<LookupAddress[]>>();

  /** Fails after the time that a name may take, whatever the work may be doing. */
  function inTime<T>(name: string, why: string, work: Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new NoAnswer(name, why)), patienceMs);
    return Promise.race([work, late]).finally(() => clearTimeout(timer));
  }

  async function fromServers(name: string): Promise<LookupAddress[]> {
    const { search, ndots, version } = await files.search();
    const resolver = resolverFor(version);
    const failures: unknown[] = [];
    for (const candidate of candidates(name, search, ndots)) {
      try {
        return await bothFamilies(resolver, candidate);
      } catch (error) {
        failures.push(error);
        if (codeOf(error) === 'ETIMEOUT') break;
      }
    }
    throw failures.find(isSilence) ?? failures.at(-1);
  }

  async function fromSystem(name: string): Promise<LookupAddress[]> {
    const leave = await threads.enter(patienceMs);
    if (!leave) throw crowded(name);
    // The thread is taken until the system gives up, whether or not anybody waits for it.
    const work = system(name).finally(leave);
    return inTime(name, 'this machine did not find it in time', work);
  }

  async function search(name: string): Promise<LookupAddress[]> {
    const leave = isProven(name) ? () => {} : await unproven.enter(patienceMs);
    if (!leave) throw crowded(name);
    try {
      return await inTime(name, 'its name server did not answer', fromServers(name));
    } catch (error) {
      if (error instanceof NoAnswer) throw error;
      if (isSilence(error)) throw new NoAnswer(name, `its name server failed (${codeOf(error)})`);
      return await fromSystem(name);
    } finally {
      leave();
    }
  }

  async function find(name: string): Promise<LookupAddress[]> {
    const listed = (await files.hosts()).get(name.replace(/\.$/, ''));
    if (listed) return listed;
    if (/^(.*\.)?localhost\.?$/.test(name)) return loopback;
    if ((silent.get(name) ?? 0) > Date.now()) {
      throw new NoAnswer(name, 'its name server did not answer just now, and is asked again within 30 seconds');
    }
    try {
      const addresses = await search(name);
      remember(known, name, { addresses, at: Date.now() });
      silent.delete(name);
      return addresses;
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      const last = known.get(name);
      if (last && isProven(name)) return last.addresses;
      remember(silent, name, Date.now() + silenceMs);
      throw error;
    }
  }

  function isProven(name: string): boolean {
    return (known.get(name)?.at ?? 0) > Date.now() - provenMs;
  }

  return (hostname) => {
    const family = isIP(hostname);
    if (family) return Promise.resolve([{ address: hostname, family }]);
    const name = hostname.toLowerCase();
    const pending = asked.get(name);
    if (pending) return pending;
    const answer = find(name).finally(() => asked.delete(name));
    asked.set(name, answer);
    return answer;
  };
}

const loopback: LookupAddress[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
];

/** Keeps the newest names. */
function remember<T>(names: Map<string, T>, name: string, what: T): void {
  names.delete(name);
  names.set(name, what);
  const [oldest] = names.keys();
  if (names.size > namesRemembered && oldest !== undefined) names.delete(oldest);
}

/** The names to ask for, in the order of `man 5 resolv.conf`: a short one may be meant within the own domain first. */
function candidates(name: string, search: readonly string[], ndots: number): string[] {
  if (name.endsWith('.')) return [name];
  const within = search.map((domain) => `${name}.${domain}`);
  const dots = name.split('.').length - 1;
  return dots >= ndots ? [name, ...within] : [...within, name];
}

/** A resolver reads the machine's servers when it is made, so that changed files need another one. */
function createResolvers(servers: string[] | undefined): (version: string) => Resolver {
  let made: { version: string; resolver: Resolver } | undefined;
  return (version) => {
    if (made?.version !== version) {
      const resolver = new Resolver({ timeout: questionMs, tries: 2 });
      if (servers) resolver.setServers(servers);
      made = { version, resolver };
    }
    return made.resolver;
  };
}

/** IPv4 first: where both are tried in turn, a machine without IPv6 loses nothing by it. */
async function bothFamilies(resolver: Resolver, name: string): Promise<LookupAddress[]> {
  const found: LookupAddress[][] = [[], []];
  const note = (family: 4 | 6) => (addresses: string[]) => {
    found[family === 4 ? 0 : 1] = addresses.map((address) => ({ address, family }));
  };
  const questions = [resolver.resolve4(name).then(note(4)), resolver.resolve6(name).then(note(6))];
  const both = Promise.allSettled(questions);
  try {
    await Promise.any(questions);
  } catch (error) {
    const failures = (error as AggregateError).errors;
    throw failures.find(isSilence) ?? failures[0];
  }
  const stop = new AbortController();
  await Promise.race([both, pause(otherFamilyMs, undefined, { signal: stop.signal }).catch(() => {})]);
  stop.abort();
  return found.flat();
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code ?? '');
}

/** Nothing was said about the name itself. A server that cannot be reached at all is left to the system, which may know others. */
function isSilence(error: unknown): boolean {
  return error instanceof NoAnswer || /^(ETIMEOUT|ECANCELLED|ESERVFAIL)$/.test(codeOf(error));
}
