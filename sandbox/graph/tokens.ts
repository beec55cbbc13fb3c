import { randomBytes } from 'node:crypto';
import { type Answer, type Call, fields, text } from '../standin.ts';

export interface Tokens {
  /** How long an access token lasts from its issue, in seconds. */
  lifetimeSeconds: number;
  /** Each refresh token works once and is replaced by the next. */
  rotate: boolean;
  /** Ends every access token given out so far. */
  expire: () => void;
  /** The token endpoint: RFC 6749 as Entra speaks it. */
  grant: (call: Call) => Answer;
  accepts: (accessToken: string) => boolean;
  clear: () => void;
}

const LIFETIME_SECONDS = 3600;

export function createTokens(): Tokens {
  const expiries = new Map<string, number>();
  const spent = new Set<string>();

  const tokens: Tokens = {
    lifetimeSeconds: LIFETIME_SECONDS,
    rotate: false,
    expire: () => expiries.clear(),
    grant(call) {
      const form = fields(call.body);
      if (call.method !== 'POST')
        return no('invalid_request', 'AADSTS900561: The endpoint only accepts POST requests.');
      for (const name of ['grant_type', 'client_id']) {
        if (!text(form[name])) return no('invalid_request', `AADSTS900144: The request body must contain: '${name}'.`);
      }
      if (form.grant_type !== 'refresh_token') {
        return no('unsupported_grant_type', `AADSTS70003: The app requested an unsupported grant type.`);
      }
      const refreshToken = text(form.refresh_token);
      if (!refreshToken) return no('invalid_request', "AADSTS900144: The request body must contain: 'refresh_token'.");
      if (refreshToken.startsWith('revoked')) {
        return no('invalid_grant', 'AADSTS50173: The provided grant has expired due to it being revoked.');
      }
      if (spent.has(refreshToken)) return no('invalid_grant', 'AADSTS70000: The refresh token was used before.');
      if (text(form.client_secret)?.startsWith('bad')) {
        return no('invalid_client', 'AADSTS7000215: Invalid client secret provided.', 401);
      }
      const accessToken = `access-${randomBytes(24).toString('base64url')}`;
      expiries.set(accessToken, Date.now() + tokens.lifetimeSeconds * 1000);
      if (tokens.rotate) spent.add(refreshToken);
      const body = {
        token_type: 'Bearer',
        scope:
          text(form.scope) ?? 'ChannelMessage.Send ChannelMessage.Read.All ChannelMessage.ReadWrite offline_access',
        expires_in: tokens.lifetimeSeconds,
        ext_expires_in: tokens.lifetimeSeconds,
        access_token: accessToken,
        refresh_token: tokens.rotate ? `refresh-${randomBytes(24).toString('base64url')}` : refreshToken,
      };
      return { status: 200, headers: { 'cache-control': 'no-store' }, body };
    },
    accepts: (accessToken) => accessToken.startsWith('static-') || (expiries.get(accessToken) ?? 0) > Date.now(),
    clear() {
      expiries.clear();
      spent.clear();
      tokens.lifetimeSeconds = LIFETIME_SECONDS;
      tokens.rotate = false;
    },
  };
  return tokens;
}

function no(error: string, description: string, status = 400): Answer {
  return {
    status,
    body: { error, error_description: description, error_codes: [Number(/\d+/.exec(description)?.[0])] },
  };
}
