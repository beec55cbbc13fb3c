import { WebAPIPlatformError } from '@slack/web-api';
import type { Fault, FaultClass } from '../../delivery/outcome.ts';
import { chain } from '../faults.ts';
import { textFrom } from '../foreign.ts';
import { retryAfterMs } from '../retry-after.ts';
import type { Wire } from '../wire.ts';

// https://docs.slack.dev/reference/methods/chat.postMessage#errors
/** "It's possible some aspect of the operation succeeded before the error was raised." */
const mayHaveLanded = new Set([
  'internal_error',
  'fatal_error',
  'service_unavailable',
  'duplicate_message_not_found',
  'duplicate_channel_not_found',
]);
/** The request was not understood, or the workspace is being moved: nothing was posted, and later it may be. */
const passing = new Set(['request_timeout', 'team_added_to_org', 'org_login_required']);
const limits = new Set(['ratelimited', 'rate_limited']);
const credential = new Set([
  'access_denied',
  'account_inactive',
  'ekm_access_denied',
  'invalid_auth',
  'missing_scope',
  'no_permission',
  'not_allowed_token_type',
  'not_authed',
  'team_access_not_granted',
  'token_expired',
  'token_revoked',
  'two_factor_setup_required',
]);

const advice: Record<string, string> = {
  channel_not_found: 'The channel does not exist, or is private and the app was not invited to it.',
  invalid_auth: 'Slack does not accept the token.',
  is_archived: 'The channel is archived.',
  missing_scope: 'The token lacks a scope; add it to the app and install the app again.',
  not_in_channel: 'The app is not a member of the channel; invite it there.',
  token_revoked: 'The token was revoked.',
};

function classOf(code: string): FaultClass {
  if (limits.has(code)) return 'rate_limited';
  if (mayHaveLanded.has(code)) return 'ambiguous';
  return passing.has(code) ? 'transient' : 'permanent';
}

/** Slack's error code, or null when the error is none of Slack's. */
export function slackCode(error: unknown): string | null {
  const said = chain(error).find((link) => link instanceof WebAPIPlatformError);
  return said instanceof WebAPIPlatformError ? textFrom(said.data.error ?? '') : null;
}

/** Slack answers 200 and says in the body what went wrong. */
export function classify(error: unknown, wire: Wire): Fault | undefined {
  const code = slackCode(error);
  if (code === null) return undefined;
  const fault = { status: wire.status, retryAfterMs: null };
  // A body that is not JSON ends up where the code should be: HTML, half a reply, or nothing.
  if (!/^[a-z][a-z0-9_]{0,63}$/.test(code)) {
    const message = 'Slack agreed, but its reply could not be read.';
    return { ...fault, class: 'ambiguous', reason: 'unreadable_reply', message };
  }
  const message = `Slack refused: ${code}.${advice[code] ? ` ${advice[code]}` : ''}`;
  return {
    ...fault,
    class: classOf(code),
    reason: code,
    message,
    ...(limits.has(code) && { retryAfterMs: retryAfterMs(wire.headers['retry-after']) }),
    ...(credential.has(code) && { credential: true }),
  };
}
