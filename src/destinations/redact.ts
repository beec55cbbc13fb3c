const hidden = '[redacted]';

/** Shorter values are no secrets, and removing every "on" or "443" would make a message unreadable. */
const leastSecretLength = 4;

function* strings(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (value !== null && typeof value === 'object') for (const part of Object.values(value)) yield* strings(part);
}

function parsed(text: string): URL | null {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? URL.parse(text) : null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The parts of a URL that prove who is calling. */
function* urlSecrets(url: URL): Generator<string> {
  for (const part of [url.username, url.password]) {
    yield part;
    yield decoded(part);
  }
  yield url.search.slice(1);
  for (const value of url.searchParams.values()) yield value;
}

function* secretValues(secrets: unknown, settings: unknown): Generator<string> {
  const values = [...strings(secrets)];
  for (const value of values) {
    yield value;
    const url = parsed(value);
    if (!url) continue;
    // The path of a capability URL is as good as a password.
    if (url.pathname.length > 8) yield url.pathname;
    yield* urlSecrets(url);
  }
  // Basic credentials are pairs of them, in one encoding or the other.
  for (const user of values) {
    for (const password of values) if (user !== password) yield Buffer.from(`${user}:${password}`).toString('base64');
  }
  for (const value of strings(settings)) {
    const url = parsed(value);
    if (url) yield* urlSecrets(url);
  }
  // Headers that a destination was given may well be its credentials.
  yield* strings((settings as { headers?: unknown } | null)?.headers);
}

const patterns: readonly [RegExp, string][] = [
  // Userinfo and query of any URL, also of one that only an SDK knew.
  [/\b([a-z][a-z0-9+.-]*:\/\/)[^\s/@?#"'<>]+@/gi, '$1'],
  [/\b([a-z][a-z0-9+.-]*:\/\/[^\s?#"'<>]*)\?[^\s"'<>]*/gi, `$1?${hidden}`],
  [/\b((?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?:(?:bearer|basic|token)\s+)?[^\s"',;]+/gi, `$1${hidden}`],
  [/\b(bearer|basic)\s+[a-z0-9+/_.~=-]{8,}/gi, `$1 ${hidden}`],
  [/\bxox[a-z]-[a-z0-9-]+/gi, hidden],
  [/\bwhsec_[a-z0-9+/=]+/gi, hidden],
];

export type Redact = (text: string) => string;

/**
 * Removes from any text every value in `secrets`, whatever in `settings` proves who is calling (userinfo and query of URLs, custom
 * headers), and what looks like a credential wherever it came from. Give it whole texts: a secret that was cut is not found.
 */
export function redactor(secrets?: unknown, settings?: unknown): Redact {
  const values = new Set<string>();
  for (const value of secretValues(secrets, settings)) {
    if (value.length < leastSecretLength) continue;
    values.add(value);
    values.add(encodeURIComponent(value));
    // As it appears inside a quoted JSON text.
    values.add(JSON.stringify(value).slice(1, -1));
  }
  // The longest first, so that a secret that contains another one is removed whole.
  const ordered = [...values].sort((a, b) => b.length - a.length);
  return (text) => {
    let clean = text;
    for (const value of ordered) clean = clean.replaceAll(value, hidden);
    for (const [pattern, replacement] of patterns) clean = clean.replace(pattern, replacement);
    return clean;
  };
}
