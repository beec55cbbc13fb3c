import { type Check, FaultError } from '../adapter.ts';
import { describe, isUnanswered } from '../faults.ts';
import { advised } from '../remedy.ts';
import { graph } from './graph.ts';
import { messages, segment } from './look.ts';
import type { Reach, Settings } from './settings.ts';
import { access } from './token.ts';

export const credentialAdvice = 'Sign in again for a new refresh token.';

/** Reads only: that a message may be posted shows itself when the first one is. */
export async function check(reach: Reach): Promise<Check[]> {
  let granted = '';
  const token = await found('token', 'An access token was obtained.', credentialAdvice, async () => {
    granted = (await access(reach)).token;
  });
  if (!token.ok) return [token];
  const get = (path: string) => () => graph(reach, (client) => client.api(path).get());
  const channel = `/teams/${segment(reach.settings.teamId)}/channels/${segment(reach.settings.channelId)}`;
  const who = (me: Record<string, unknown>) => `Posts as ${me.displayName ?? me.id ?? 'an unnamed user'}.`;
  const user = await found('user', who, 'Get a new token: this one is not, or no longer, accepted.', get('/me'));
  if (!user.ok) return [token, user];
  const where = (at: Record<string, unknown>) => `The channel is ${at.displayName ?? reach.settings.channelId}.`;
  const advice =
    'Take both ids from "Get link to channel" (groupId, and 19:…@thread.tacv2), and make sure that this user is a member of the team.';
  const place = await found('channel', where, advice, get(channel));
  return [token, user, ...sending(granted), place, ...(place.ok ? [await readBack(reach, reach.settings)] : [])];
}

/**
 * What the token itself says that it may do. Tokens are opaque by contract, so that one which says nothing is left alone.
 * https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
 */
function sending(token: string): Check[] {
  const claims = claimsOf(token);
  if (typeof claims?.scp !== 'string' && !Array.isArray(claims?.roles)) return [];
  const name = 'permission to post';
  if (typeof claims.scp !== 'string') {
    const detail =
      'This is an application token, with which Graph lets nobody post: sign in as a user (delegated permissions).';
    return [{ name, ok: false, detail }];
  }
  const scopes = claims.scp.split(' ');
  const missing = ['ChannelMessage.Send', 'ChannelMessage.ReadWrite'].filter((scope) => !scopes.includes(scope));
  // The wide, older permission contains them.
  if (missing.length === 0 || scopes.includes('Group.ReadWrite.All')) {
    return [{ name, ok: true, detail: 'Messages can be posted, edited and deleted.' }];
  }
  const detail = `Add the delegated permission ${missing.join(' and ')} to the app, consent to it, and sign in again.`;
  return [{ name, ok: false, detail }];
}

function claimsOf(token: string): Record<string, unknown> | null {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  } catch {
    return null;
  }
}

async function readBack(reach: Reach, settings: Settings): Promise<Check> {
  const read = () => graph(reach, (client) => client.api(`${messages(settings)}?$top=1`).get());
  const advice =
    'Without the delegated permission ChannelMessage.Read.All (an administrator has to consent) a message whose reply was lost ' +
    'cannot be looked for, and its delivery ends unknown.';
  return found('read-back', 'Messages can be read back, so a lost reply can be cleared up.', advice, read);
}

async function found(
  name: string,
  detail: string | ((answer: Record<string, unknown>) => string),
  advice: string,
  ask: () => Promise<unknown>,
): Promise<Check> {
  try {
    const answer = ((await ask()) ?? {}) as Record<string, unknown>;
    return { name, ok: true, detail: typeof detail === 'string' ? detail : detail(answer) };
  } catch (error) {
    if (isUnanswered(error)) throw error;
    const said = error instanceof FaultError ? error.fault.message : describe(error);
    return { name, ok: false, detail: advised(said, advice) };
  }
}
