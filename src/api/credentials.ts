import { type Flaw, pointerTo } from './problems.ts';

/** Settings are answered to every key that may read. What stands in place of what such a key is not to see: */
const hidden = '[redacted]';
const tellingNames = /auth|token|key|secret|cookie|passw|credential|signature/i;

/** What can be said against the user name or password in a URL; null where it has none. `instead` says where they belong. */
export function exposed(text: string, instead: string): string | null {
  const url = URL.parse(text);
  if (!url?.username && !url?.password) return null;
  return `must not contain a user name or password, which every key that may read would see: ${instead}`;
}

/** What in a destination's settings must not be stored: credentials in a URL, and a header that was copied from what is shown. */
export function refusedCredentials(settings: Record<string, unknown>, path: PropertyKey[]): Flaw[] {
  const instead = 'send them in `headers`, as Authorization';
  const urls = Object.entries(settings).flatMap(([name, value]) => {
    const detail = typeof value === 'string' && /url$/i.test(name) ? exposed(value, instead) : null;
    return detail ? [{ pointer: pointerTo([...path, name]), detail }] : [];
  });
  const copied = Object.entries(headersOf(settings)).filter(([, value]) => value === hidden);
  const detail = `is only what is shown instead of the value: send the value itself, or leave the header out`;
  return [...urls, ...copied.map(([name]) => ({ pointer: pointerTo([...path, 'headers', name]), detail }))];
}

/** A destination's settings as they are answered: the values of headers that are named like credentials are hidden. */
export function shownSettings(settings: Record<string, unknown>): Record<string, unknown> {
  const shown = Object.entries(settings).map(([name, value]) => {
    if (name === 'headers') return [name, shownHeaders(settings)];
    return [name, typeof value === 'string' && exposed(value, '') !== null ? withoutUserinfo(value) : value];
  });
  return Object.fromEntries(shown);
}

function shownHeaders(settings: Record<string, unknown>): Record<string, unknown> {
  const headers = Object.entries(headersOf(settings));
  return Object.fromEntries(headers.map(([name, value]) => [name, tellingNames.test(name) ? hidden : value]));
}

/** Older destinations may have it. It is left to be seen that something is there, so that this is not taken for what is stored. */
function withoutUserinfo(text: string): string {
  return text.replace(/\/\/[^/?#]*@/, `//${hidden}@`);
}

function headersOf({ headers }: Record<string, unknown>): Record<string, unknown> {
  return typeof headers === 'object' && headers !== null ? (headers as Record<string, unknown>) : {};
}
