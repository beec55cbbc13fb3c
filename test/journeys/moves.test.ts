import { afterAll, beforeAll, expect, test } from 'vitest';
import { startWorld, type World } from '../support/world.ts';
import { type Kind, type Place, place } from './places.ts';
import { attempts, converged, delivery, deliveryAt, say, writes } from './steps.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld({ queue: 'postgres' });
});
afterAll(() => world?.stop());

/** What the destination is replaced with: the new settings, and secrets where they change. */
type Change = (settings: Record<string, unknown>) => { settings: object; secrets?: object };

async function move(chat: Place, kind: Kind, change: Change): Promise<void> {
  const { body } = await world.api('GET', `/destinations/${chat.name}`);
  const { status } = await world.api('PUT', `/destinations/${chat.name}`, { kind, ...change(body.settings) });
  expect(status).toBe(200);
}

/** A lost reply, and then a destination that is replaced before anybody could look for the message. */
async function movedInDoubt(kind: Kind, title: string, change: Change) {
  const chat = await place(world, kind);
  const unreadable = {
    do: 'refuse',
    status: 503,
    on: 'read',
    place: chat.at,
    times: Number.POSITIVE_INFINITY,
  } as const;
  world.sandbox.misbehave(chat.service, { do: 'swallow', place: chat.at }, unreadable);
  const broadcast = await say(world, title, [chat]);
  await delivery(world, broadcast, chat, 'verifying');
  await move(chat, kind, change);
  world.sandbox.behave(chat.service);
  return { chat, broadcast: await converged(world, broadcast) };
}

test('a lost message is looked for in the channel that it was sent to, not in the one that took its place', async () => {
  const slack = await movedInDoubt('slack', 'Moved in Slack', (settings) => ({
    settings: { ...settings, channel: 'C0NEWPLACE' },
  }));
  expect(await attempts(world, deliveryAt(slack.broadcast, slack.chat))).toContain('verify landed');
  expect(slack.chat.count('Moved in Slack')).toBe(1);
  expect(world.sandbox.slack.channel('C0NEWPLACE')).toEqual([]);

  const teams = await movedInDoubt('teams', 'Moved in Teams', (settings) => ({
    settings: { ...settings, channelId: 'new-channel' },
  }));
  expect(await attempts(world, deliveryAt(teams.broadcast, teams.chat))).toContain('verify landed');
  expect(teams.chat.count('Moved in Teams')).toBe(1);
  expect(world.sandbox.graph.channel('team', 'new-channel')).toEqual([]);

  // The copy is edited and removed where it stands, too.
  for (const { chat, broadcast } of [slack, teams]) {
    await world.api('PATCH', `/broadcasts/${broadcast.id}`, { message: { title: 'Edited in the old place' } });
    await converged(world, broadcast);
    expect(chat.count('Edited in the old place')).toBe(1);
    await world.api('POST', `/broadcasts/${broadcast.id}/retract`);
    await converged(world, broadcast);
    expect(chat.count('Edited in the old place')).toBe(0);
  }
});

test('a lost issue is found although the project and the account were replaced meanwhile', async () => {
  const { chat, broadcast } = await movedInDoubt('jira', 'Rotated in Jira', (settings) => ({
    settings: { ...settings, projectKey: 'NEWOPS' },
    secrets: { email: 'new-bot@example.com', apiToken: 'jira-of-the-new-bot' },
  }));
  expect(await attempts(world, deliveryAt(broadcast, chat))).toContain('verify landed');
  expect(chat.count('Rotated in Jira')).toBe(1);
  expect(world.sandbox.jira.issues('NEWOPS')).toEqual([]);
  expect(writes(world, chat)).toHaveLength(1);
});

test('a topic goes on in the thread where it began', async () => {
  for (const [kind, change] of [
    ['slack', { channel: 'C0NEXTPLACE' }],
    ['teams', { channelId: 'next-channel' }],
    ['jira', { projectKey: 'NEXTOPS' }],
  ] as const) {
    const chat = await place(world, kind);
    const topic = `INC-${kind}`;
    await converged(world, await say(world, 'It begins', [chat], { topic }));
    await move(chat, kind, (settings) => ({ settings: { ...settings, ...change } }));
    const second = await converged(world, await say(world, 'It goes on', [chat], { topic }));
    expect(deliveryAt(second, chat)).toMatchObject({ state: 'confirmed' });
    expect({ kind, count: chat.count('It goes on') }).toEqual({ kind, count: 1 });
  }
});
