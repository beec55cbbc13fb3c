import { createHash } from 'node:crypto';
import type { Author } from './channels.ts';

const SCOPES = ['chat:write', 'channels:history', 'groups:history', 'im:history', 'mpim:history', 'channels:read'];

export interface Caller {
  author: Author & { user: string };
  scopes: string[];
}

/** Who a token is, or the code Slack refuses it with. */
export function callerOf(token: string | undefined): Caller | string {
  if (token === undefined || token === '') return 'not_authed';
  if (!token.startsWith('xoxb-')) return 'invalid_auth';
  if (token.startsWith('xoxb-revoked')) return 'token_revoked';
  const id = createHash('sha256').update(token).digest('hex').slice(0, 8).toUpperCase();
  const scopes = SCOPES.filter((scope) => {
    if (token.startsWith('xoxb-noscope')) return !scope.endsWith(':history');
    if (token.startsWith('xoxb-nowrite')) return scope !== 'chat:write';
    return true;
  });
  return { author: { user: `U${id}`, bot_id: `B${id}`, app_id: `A${id}` }, scopes };
}

/** Why a method can't be used in this channel, or null. */
export function closed(channel: string, method: string): string | null {
  if (!/^[CGD][A-Z0-9]{2,}$/.test(channel) || channel.startsWith('CMISSING')) return 'channel_not_found';
  const members = ['chat.postMessage', 'chat.update', 'chat.delete', 'conversations.history', 'conversations.replies'];
  if (channel.startsWith('CNOTIN') && members.includes(method)) return 'not_in_channel';
  const writes = method.startsWith('chat.') && method !== 'chat.getPermalink';
  if (channel.startsWith('CARCHIVED') && (writes || method === 'conversations.join')) return 'is_archived';
  return null;
}

/** The scope a method needs in this channel, or null. */
export function scopeFor(method: string, channel: string): string | null {
  if (['chat.postMessage', 'chat.update', 'chat.delete'].includes(method)) return 'chat:write';
  if (method === 'conversations.history' || method === 'conversations.replies') {
    return { G: 'groups:history', D: 'im:history' }[channel.charAt(0)] ?? 'channels:history';
  }
  return null;
}
