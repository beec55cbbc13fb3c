const hidden = '[redacted]';

/** Shorter values are no secrets, and removing every "on" or "443" would make a message unreadable. */
const leastSecretLength = 4;

/** No more of a text is looked at, so that a service cannot keep a process busy with one long answer. Far less of it is ever shown. */
const textLimit = 16 * 1024;
const wordLimit = 4 * 1024;
const mark = '…';

function* strings(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value;
  else if (value !== null && typeof value === 'object') for (const part of Object.values(value)) yield* strings(part);
}

function parsed(text: string): URL | null {
  return text.includes('://') ? URL.parse(text) : null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** The parts of a URL that prove who is calling, in the forms in which Basic, AUTH PLAIN and AUTH LOGIN send them. */
function* urlSecrets(url: URL): Generator<string> {
  const [user, password] = [decoded(url.username), decoded(url.password)];
  for (const part of [url.username, url.password, user, password]) yield part;
  if (password) {
    yield base64(password);
    for (const form of [`${user}:${password}`, `\0${user}\0${password}`, `${user}\0${user}\0${password}`])
      yield base64(form);
  }
  if (user) yield base64(user);
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
    for (const password of values) if (user !== password) yield base64(`${user}:${password}`);
  }
  for (const value of strings(settings)) {
    const url = parsed(value);
    if (url) yield* urlSecrets(url);
  }
  // Headers that a destination was given may well be its credentials.
  yield* strings((settings as { headers?: unknown } | null)?.headers);
}

/**
 * None of these takes longer than in proportion to the text: no match can begin inside a stretch that another beginning has read in vain.
 * The two for URLs look for `://` and `?`, and never for a scheme, because a scheme may begin at every word.
 */
const patterns: readonly [RegExp, string][] = [
  // Userinfo and query of any URL, also of one that only an SDK knew.
  [/(?<=:\/\/)[^\s/@?#"'<>]+@/g, ''],
  [/\?(?<=:\/\/[^\s?#"'<>]*\?)[^\s"'<>]*/g, `?${hidden}`],
  [/\b((?:proxy-)?authorization["']?\s*[:=]\s*["']?)(?:(?:bearer|basic|token)\s+)?[^\s"',;]+/gi, `$1${hidden}`],
  [/\b(bearer|basic)\s+[a-z0-9+/_.~=-]{8,}/gi, `$1 ${hidden}`],
  [/\bxox[a-z]-[a-z0-9-]+/gi, hidden],
  [/\bwhsec_[a-z0-9+/=]+/gi, hidden],
];

export type Redact = (text: string) => string;

/**
 * Removes from any text every value in `secrets`, whatever in `settings` proves who is calling (userinfo and query of URLs, custom
 * headers), and what looks like a credential wherever it came from. A long text is cut, and ends with `…`. A text that ends with `…`
 * counts as cut, and loses at its end whatever may be the beginning of a secret.
 */
export function redactor(secrets?: unknown, settings?: unknown): Redact {
  const values = new Set<string>();
  for (const value of secretValues(secrets, settings)) {
    if (value.length < leastSecretLength) continue;
    values.add(value);
    values.add(encodeURIComponent(value.toWellFormed()));
    // As it appears inside a quoted JSON text.
    values.add(JSON.stringify(value).slice(1, -1));
  }
  return (text) => {
    const cut = text.length > textLimit || text.endsWith(mark);
    const kept = text.slice(0, textLimit).replace(/…$/, '');
    let clean = without(
      kept,
      [...values].flatMap((value) => places(kept, value, cut)),
    );
    for (const [pattern, replacement] of patterns) clean = clean.replace(pattern, replacement);
    return cut ? `${withoutLastWord(clean)}${mark}` : clean;
  };
}

type Place = [from: number, to: number];

/** Where `value` stands in `text`, and where the text ends within it. */
function places(text: string, value: string, cut: boolean): Place[] {
  const found: Place[] = [];
  for (let at = text.indexOf(value); at >= 0; at = text.indexOf(value, at + value.length)) {
    found.push([at, at + value.length]);
  }
  if (!cut) return found;
  const beginning = value.slice(0, leastSecretLength);
  for (let at = text.indexOf(beginning, text.length - value.length); at >= 0; at = text.indexOf(beginning, at + 1)) {
    if (value.startsWith(text.slice(at))) found.push([at, text.length]);
  }
  return found;
}

/** Secrets may overlap: what lies in any of the places goes, and nothing of it is left beside another. */
function without(text: string, found: Place[]): string {
  let clean = '';
  let done = 0;
  for (const [from, to] of found.sort(([one], [other]) => one - other)) {
    if (from >= done) clean += text.slice(done, from) + hidden;
    done = Math.max(done, to);
  }
  return clean + text.slice(done);
}

/** The last word of a cut text may be half a credential, which no pattern knows. A page without spaces loses a part of it. */
function withoutLastWord(text: string): string {
  const least = Math.max(0, text.length - wordLimit);
  let end = text.length;
  while (end > least && !/\s/.test(text.charAt(end - 1))) end -= 1;
  return text.slice(0, end).trimEnd();
}
