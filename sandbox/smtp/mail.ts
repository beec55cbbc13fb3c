export interface Mail {
  at: Date;
  from: string;
  to: string;
  /** By lower-case name, unfolded and decoded: message-id, in-reply-to, references, subject, x-tocsin-… */
  headers: Record<string, string>;
  text: string | null;
  html: string | null;
  raw: string;
}

interface Part {
  headers: Record<string, string>;
  body: string;
}

/** Reads what our own mails use of MIME: folded and encoded headers, nested multiparts, quoted-printable, base64. */
export function readMail(raw: string, from: string, to: string): Mail {
  const whole = split(raw);
  const leaves = leavesOf(whole);
  const find = (type: string) =>
    leaves.find(({ headers }) => (headers['content-type'] ?? 'text/plain').startsWith(type));
  const content = (part: Part | undefined) => (part === undefined ? null : decodeBody(part));
  return {
    at: new Date(),
    from,
    to,
    headers: whole.headers,
    text: content(find('text/plain')),
    html: content(find('text/html')),
    raw,
  };
}

function split(raw: string): Part {
  const end = raw.search(/\r?\n\r?\n/);
  const head = end === -1 ? raw : raw.slice(0, end);
  const headers: Record<string, string> = {};
  for (const line of head.replace(/\r?\n[ \t]+/g, ' ').split(/\r?\n/)) {
    const colon = line.indexOf(':');
    if (colon > 0) headers[line.slice(0, colon).trim().toLowerCase()] = decodeWords(line.slice(colon + 1).trim());
  }
  return { headers, body: end === -1 ? '' : raw.slice(end).replace(/^\r?\n\r?\n/, '') };
}

function leavesOf(part: Part): Part[] {
  const boundary = /boundary="?([^";]+)"?/i.exec(part.headers['content-type'] ?? '')?.[1];
  if (boundary === undefined) return [part];
  return part.body
    .split(`--${boundary}`)
    .slice(1, -1)
    .flatMap((inner) => leavesOf(split(inner.replace(/^\r?\n/, ''))));
}

function decodeBody({ headers, body }: Part): string {
  const encoding = (headers['content-transfer-encoding'] ?? '').toLowerCase();
  if (encoding === 'base64') return Buffer.from(body, 'base64').toString('utf8');
  const plain = encoding === 'quoted-printable' ? unquote(body.replace(/=\r?\n/g, '')) : body;
  return plain.replaceAll('\r\n', '\n').trimEnd();
}

// RFC 2047; the whitespace between two encoded words belongs to neither.
function decodeWords(value: string): string {
  const joined = value.replace(/(\?=)\s+(=\?)/g, '$1$2');
  return joined.replace(/=\?[\w-]+\?([BQ])\?([^?]*)\?=/gi, (_, kind: string, encoded: string) =>
    kind.toUpperCase() === 'B'
      ? Buffer.from(encoded, 'base64').toString('utf8')
      : unquote(encoded.replaceAll('_', ' ')),
  );
}

function unquote(value: string): string {
  const bytes = value.replace(/=([0-9A-F]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  // Bytes that were sent as they are arrive as characters already; only decoded ones need reading as UTF-8.
  return /[^\0-\xff]/.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
}
