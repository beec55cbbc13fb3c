import { type Check, FaultError } from '../adapter.ts';
import { describe } from '../faults.ts';
import { graph } from './graph.ts';
import { messages, segment } from './look.ts';
import type { Reach, Settings } from './settings.ts';
import { access } from './token.ts';

/** Reads only: that a message may be posted shows itself when the first one is. */
export async function check(reach: Reach): Promise<Check[]> {
  const token = await found('token', 'An access token was obtained.', () => access(reach));
  if (!token.ok) return [token];
  const get = (path: string) => () => graph(reach, (client) => client.api(path).get());
  const channel = `/teams/${segment(reach.settings.teamId)}/channels/${segment(reach.settings.channelId)}`;
  return [
    token,
    await found('user', (me) => `Posts as ${me.displayName ?? me.id ?? 'an unnamed user'}.`, get('/me')),
    await found('channel', (at) => `The channel is ${at.displayName ?? reach.settings.channelId}.`, get(channel)),
    await readBack(reach, reach.settings),
  ];
}

async function readBack(reach: Reach, settings: Settings): Promise<Check> {
  const read = () => graph(reach, (client) => client.api(`${messages(settings)}?$top=1`).get());
  const result = await found('read-back', 'Messages can be read back, so a lost reply can be cleared up.', read);
  if (result.ok) return result;
  const advice =
    'Without the delegated permission ChannelMessage.Read.All (an administrator has to consent) a message whose reply was lost ' +
    'cannot be looked for, and its delivery ends unknown.';
  return { ...result, detail: `${result.detail} ${advice}` };
}

async function found(
  name: string,
  detail: string | ((answer: Record<string, unknown>) => string),
  ask: () => Promise<unknown>,
): Promise<Check> {
  try {
    const answer = ((await ask()) ?? {}) as Record<string, unknown>;
    return { name, ok: true, detail: typeof detail === 'string' ? detail : detail(answer) };
  } catch (error) {
    return { name, ok: false, detail: error instanceof FaultError ? error.fault.message : describe(error) };
  }
}
