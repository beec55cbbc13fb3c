import type { WebClient } from '@slack/web-api';
import type { Check } from '../adapter.ts';
import { slackCode } from './faults.ts';

const readScopes = ['channels:history', 'groups:history', 'im:history', 'mpim:history'];

async function membership(client: WebClient, channel: string): Promise<Check> {
  const name = 'channel';
  if (!/^[CGD][A-Z0-9]+$/.test(channel)) {
    return { name, ok: false, detail: `${channel} is no channel id. Copy the id (C…) from the channel's "About" tab.` };
  }
  try {
    const { channel: found } = await client.conversations.info({ channel });
    if (found?.is_archived)
      return { name, ok: false, detail: `${channel} is archived. Unarchive it or choose another.` };
    if (found?.is_member === false) {
      return { name, ok: false, detail: `The app is not in ${channel}. Type "/invite @<the app>" there.` };
    }
    return { name, ok: true, detail: `The app can reach ${found?.name ? `#${found.name}` : channel}.` };
  } catch (error) {
    const code = slackCode(error);
    if (code === null) throw error;
    if (code === 'missing_scope') {
      return { name, ok: true, detail: 'Not checked: that needs the scope channels:read (or groups:read).' };
    }
    const detail = `Slack says ${code} of ${channel}. Check the id, and invite the app if the channel is private.`;
    return { name, ok: false, detail };
  }
}

export const credentialAdvice = "Copy the bot token (xoxb-…) from the app's page.";

/** Who the token is, what it may do, and whether it is in the channel. Sends nothing. */
export async function check(client: WebClient, channel: string): Promise<Check[]> {
  try {
    const who = await client.auth.test();
    const scopes = who.response_metadata?.scopes ?? [];
    const token = { name: 'token', ok: true, detail: `Signed in as ${who.user} in ${who.team}.` };
    const write = scopes.includes('chat:write');
    const read = readScopes.some((scope) => scopes.includes(scope));
    return [
      token,
      {
        name: 'scope to post',
        ok: write,
        detail: write ? 'chat:write is granted.' : 'Add the scope chat:write to the app and install it again.',
      },
      {
        name: 'scope to verify',
        ok: read,
        detail: read
          ? 'The channel can be read back after a lost reply.'
          : 'Add channels:history (groups:history for private channels): without it a lost reply ends as unknown.',
      },
      await membership(client, channel),
    ];
  } catch (error) {
    const code = slackCode(error);
    if (code === null) throw error;
    return [{ name: 'token', ok: false, detail: `Slack says ${code}. ${credentialAdvice}` }];
  }
}
