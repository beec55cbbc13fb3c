import { type Flaw, pointerTo } from './problems.ts';

/** Settings are answered to every key that may read. What stands in place of what such a key is not to see: */
const hidden = '[redacted]';

type Settings = Record<string, unknown>;

/** What can be said against the user name or password in a URL; null where it has none. `instead` says where they belong. */
export function exposed(text: string, instead: string): string | null {
  const url = URL.parse(text);
  if (!url?.username && !url?.password) return null;
  return `must not contain a user name or password, which every key that may read would see: ${instead}`;
}

/** Finds settings that must not be stored: credentials in a URL, and values that were masked when they were shown. */
export function refusedCredentials(settings: Settings, path: PropertyKey[]): Flaw[] {
  const instead = 'send them in `headers`, as Authorization';
  const urls = Object.entries(settings).flatMap(([name, value]) => {
    if (typeof value !== 'string' || !/url$/i.test(name)) return [];
    const detail = value.includes(hidden) ? copied : exposed(value, instead);
    return detail ? [{ pointer: pointerTo([...path, name]), detail }] : [];
  });
  const headers = Object.entries(headersOf(settings)).filter(([, value]) => value === hidden);
  return [...urls, ...headers.map(([name]) => ({ pointer: pointerTo([...path, 'headers', name]), detail: copied }))];
}

const copied =
  'is only what is shown instead of the value, and nothing is stored that it could stand for at this URL: send the value itself, or leave it out';

/**
 * A destination's settings as they are answered. Headers are hidden whatever their name, and of `url`, the address that is posted to, only
 * the host is shown: for many receivers its path is the password.
 */
export function shownSettings(settings: Settings): Settings {
  const shown = Object.entries(settings).map(([name, value]) => {
    if (name === 'headers') return [name, shownHeaders(settings)];
    return [name, typeof value === 'string' && /url$/i.test(name) ? shownUrl(name, value) : value];
  });
  return Object.fromEntries(shown);
}

/**
 * The settings that a client sent, with the stored values in place of what `shownSettings` showed for them: so what was read can be changed
 * and sent back. Headers are kept for the very URL only that they were given for: a host may belong to many.
 */
export function restoredSettings(sent: Settings, stored: Settings | null): Settings {
  if (!stored) return sent;
  const shown = shownSettings(stored);
  const urls = Object.entries(sent).map(([name, value]) => {
    const isShown = typeof value === 'string' && value.includes(hidden) && value === shown[name];
    return [name, isShown ? stored[name] : value];
  });
  const restored: Settings = Object.fromEntries(urls);
  if (!isObject(sent.headers) || restored.url !== stored.url) return restored;
  const before = headersOf(stored);
  const headers = Object.entries(headersOf(sent)).map(([name, value]) => [
    name,
    value === hidden ? (before[name] ?? value) : value,
  ]);
  return { ...restored, headers: Object.fromEntries(headers) };
}

/** The paths of settings that lead to another host than before: whoever kept the secrets there would be sent them. */
export function reaimed(before: Settings, after: Settings): string[][] {
  const [from, to] = [origins(before), origins(after)];
  const paths = [...new Set([...from.keys(), ...to.keys()])];
  return paths.filter((path) => from.get(path) !== to.get(path)).map((path) => JSON.parse(path) as string[]);
}

/** Where each URL in settings leads, by its path there. */
function origins(settings: Settings, above: string[] = []): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, value] of Object.entries(settings)) {
    const path = [...above, name];
    if (typeof value === 'string' && /url$/i.test(name)) {
      const url = URL.parse(value);
      found.set(JSON.stringify(path), url ? `${url.protocol}//${url.host}` : value);
    } else if (isObject(value) && name !== 'headers') {
      for (const [inner, origin] of origins(value, path)) found.set(inner, origin);
    }
  }
  return found;
}

function shownHeaders(settings: Settings): Settings {
  return Object.fromEntries(Object.keys(headersOf(settings)).map((name) => [name, hidden]));
}

/** It is left to be seen that something is there, so that this is not taken for what is stored. */
function shownUrl(name: string, text: string): string {
  const url = URL.parse(text);
  if (!url) return hidden;
  const userinfo = url.username || url.password ? `${hidden}@` : '';
  const isBare = url.pathname === '/' && url.search === '' && url.hash === '';
  if (name === 'url' && !isBare) return `${url.protocol}//${userinfo}${url.host}/${hidden}`;
  return userinfo ? text.replace(/\/\/[^/?#]*@/, `//${userinfo}`) : text;
}

function headersOf({ headers }: Settings): Settings {
  return isObject(headers) ? headers : {};
}

function isObject(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
