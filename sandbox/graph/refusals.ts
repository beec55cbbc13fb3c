import { type Answer, fields, isFields, list, text } from '../standin.ts';

const STATUSES: Record<string, number> = {
  BadRequest: 400,
  InvalidAuthenticationToken: 401,
  Unauthorized: 401,
  Forbidden: 403,
  AclCheckFailed: 403,
  NotFound: 404,
  Conflict: 409,
  PreconditionFailed: 412,
  RequestEntityTooLarge: 413,
  UnsupportedMediaType: 415,
  TooManyRequests: 429,
  activityLimitReached: 429,
  UnknownError: 500,
  InternalServerError: 500,
  BadGateway: 502,
  ServiceUnavailable: 503,
  GatewayTimeout: 504,
};
const LARGEST_BYTES = 28 * 1024;

/** An error as Graph words it; the status follows from the code, as there. */
export function no(code: string, message: string, status = STATUSES[code] ?? 400): Answer {
  const innerError = { date: new Date().toISOString().slice(0, 19), 'request-id': crypto.randomUUID() };
  return { status, body: { error: { code, message, innerError } } };
}

export function codeFor(status: number): string {
  return Object.keys(STATUSES).find((code) => STATUSES[code] === status) ?? 'UnknownError';
}

/** What Graph would refuse about a message, or null. */
export function refusalOf(content: unknown, bytes: number, isNew: boolean): Answer | null {
  if (bytes > LARGEST_BYTES) return no('RequestEntityTooLarge', 'Request Entity too large');
  if (!isFields(content)) return no('BadRequest', 'Unable to read JSON request payload.');
  const body = fields(content.body);
  if (isNew && content.body === undefined) return no('BadRequest', 'Missing body content');
  if (content.body === undefined) return null;
  if (text(body.content) === undefined) return no('BadRequest', 'Missing body content');
  if (!['html', 'text', undefined].includes(text(body.contentType)))
    return no('BadRequest', 'Invalid body contentType');

  const attachments = list(content.attachments).map(fields);
  const written = text(body.content) ?? '';
  const referenced = [...written.matchAll(/<attachment id="([^"]*)">/g)].map((match) => match[1]);
  for (const attachment of attachments) {
    const id = text(attachment.id);
    if (!id || !text(attachment.contentType)) return no('BadRequest', 'An attachment needs an id and a contentType');
    // Teams shows a card only where the body refers to it; one without a reference would never be seen.
    if (!referenced.includes(id)) return no('BadRequest', `Attachment ${id} is not referenced in the message body`);
    if (attachment.contentType === 'application/vnd.microsoft.card.adaptive' && !isCard(attachment.content)) {
      return no('BadRequest', `The content of attachment ${id} must be an adaptive card, as a JSON string`);
    }
  }
  const missing = referenced.find((id) => !attachments.some((attachment) => attachment.id === id));
  return missing === undefined ? null : no('BadRequest', `Attachments missing in request: ${missing}`);
}

function isCard(content: unknown): boolean {
  if (typeof content !== 'string') return false;
  try {
    return fields(JSON.parse(content)).type === 'AdaptiveCard';
  } catch {
    return false;
  }
}
