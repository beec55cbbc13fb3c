import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { startWorld, type World } from '../support/world.ts';
import { type Kind, place } from './places.ts';
import { attempts, converged, delivery, deliveryAt, expectOneEach, queues, read, say, writes } from './steps.ts';

describe.each(queues)('on the %s queue', (queue) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue });
  });
  afterAll(() => world?.stop());

  const places = (...kinds: Kind[]) => Promise.all(kinds.map((kind) => place(world, kind)));

  test.concurrent('broadcasts of one topic arrive in order and in one thread, and a held one says why', async () => {
    const [chat, ticket] = await Promise.all([place(world, 'slack'), place(world, 'jira')]);
    const topic = 'INC-1234';
    world.sandbox.misbehave('slack', { do: 'rateLimit', retryAfter: 4, place: chat.at });
    const first = await say(world, 'Checkout is down', [chat, ticket], { topic });
    const second = await say(world, 'Checkout is slow', [chat, ticket], { topic });
    const third = await say(world, 'Checkout is well', [chat, ticket], { topic });
    const waiting = deliveryAt(await read(world, third), chat);
    expect([waiting.state, waiting.hold]).toEqual(['held', 'topic']);
    for (const broadcast of [first, second, third]) {
      expect(await converged(world, broadcast)).toMatchObject({ state: 'delivered', topic });
    }
    const titles = ['Checkout is down', 'Checkout is slow', 'Checkout is well'];
    const [root, ...replies] = world.sandbox.slack.channel(chat.at);
    expect([root, ...replies].map((message, n) => message?.text.includes(titles[n] ?? '?'))).toEqual([
      true,
      true,
      true,
    ]);
    expect(replies.map(({ thread_ts }) => thread_ts)).toEqual([root?.ts, root?.ts]);
    const [issue, ...others] = world.sandbox.jira.issues(ticket.at);
    expect(others).toEqual([]);
    expect(issue?.comments.map(({ body }, n) => JSON.stringify(body).includes(titles[n + 1] ?? '?'))).toEqual([
      true,
      true,
    ]);
  });

  test.concurrent('a new text edits the copies that are there, and nobody is told twice', async () => {
    const three = await places('slack', 'teams', 'jira');
    const broadcast = await say(world, 'Five hundred errors', three);
    await converged(world, broadcast);
    const before = three.map((each) => each.seen().length);
    const { status, body } = await world.api('PATCH', `/broadcasts/${broadcast.id}`, {
      message: { title: 'Errors are over', severity: 'info' },
    });
    expect(status).toBeLessThan(300);
    expect(body.revision).toBe(2);
    const after = await converged(world, broadcast);
    expect(after.state).toBe('delivered');
    expect(after.deliveries.map(({ revision }) => revision)).toEqual(Array(3).fill({ desired: 2, confirmed: 2 }));
    expectOneEach(three, 'Errors are over');
    expect(three.map((each) => each.seen().length)).toEqual(before);
    expect(three.map((each) => each.count('Five hundred errors'))).toEqual([0, 0, 0]);
  });

  test.concurrent('a text that is replaced before it was sent is never sent', async () => {
    const chat = await place(world, 'slack');
    world.sandbox.misbehave('slack', { do: 'rateLimit', retryAfter: 4, place: chat.at });
    const broadcast = await say(world, 'First guess', [chat]);
    await delivery(world, broadcast, chat, 'retrying');
    await world.api('PATCH', `/broadcasts/${broadcast.id}`, { message: { title: 'Better guess' } });
    await converged(world, broadcast);
    expect([chat.count('First guess'), chat.count('Better guess')]).toEqual([0, 1]);
    expect(writes(world, chat)).toHaveLength(2);
  });

  test.concurrent('defect 11: a retract that comes while its delivery is in flight never overtakes it', async () => {
    const chat = await place(world, 'slack');
    world.sandbox.misbehave('slack', { do: 'slow', ms: 3_000, place: chat.at });
    const broadcast = await say(world, 'Sent in error', [chat]);
    await world.sandbox.until(() => writes(world, chat).length === 1);
    const { status } = await world.api('POST', `/broadcasts/${broadcast.id}/retract`);
    expect(status).toBeLessThan(300);
    const after = await converged(world, broadcast);
    expect(await attempts(world, deliveryAt(after, chat))).toEqual(['deliver success', 'retract success']);
    expect(chat.seen()).toEqual([]);
    const [deliver, retract] = writes(world, chat);
    expect([deliver?.path, retract?.path].map((path) => path?.split('.').at(-1))).toEqual(['postMessage', 'delete']);
  });

  test.concurrent('defect 8: a paused destination keeps what comes on record, and delivers it when it is resumed', async () => {
    const [quiet, other] = await Promise.all([place(world, 'slack'), place(world, 'webhook')]);
    await world.api('POST', `/destinations/${quiet.name}/pause`);
    const broadcast = await say(world, 'While it was paused', [quiet, other]);
    const held = await delivery(world, broadcast, quiet, 'held');
    expect(held.hold).toBe('paused');
    await delivery(world, broadcast, other, 'confirmed');
    const { body: listed } = await world.api('GET', `/deliveries?state=held&destination=${quiet.name}`);
    expect(listed.items).toMatchObject([{ id: held.id }]);
    expect(writes(world, quiet)).toEqual([]);
    await world.api('POST', `/destinations/${quiet.name}/resume`);
    expect((await converged(world, broadcast)).state).toBe('delivered');
    expectOneEach([quiet, other], 'While it was paused');
  });

  test.concurrent('cancelling stops what was not sent, and leaves what was', async () => {
    const [sent, waiting] = await Promise.all([place(world, 'webhook'), place(world, 'slack')]);
    world.sandbox.misbehave('slack', { do: 'rateLimit', retryAfter: 600, place: waiting.at });
    const broadcast = await say(world, 'Never mind', [sent, waiting]);
    await delivery(world, broadcast, sent, 'confirmed');
    await delivery(world, broadcast, waiting, 'retrying');
    const { status } = await world.api('POST', `/broadcasts/${broadcast.id}/cancel`);
    expect(status).toBeLessThan(300);
    const after = await converged(world, broadcast);
    expect(after.state).toBe('partial');
    expect(after.deliveries.map(({ state }) => state)).toEqual(['confirmed', 'cancelled']);
    expect([sent.count('Never mind'), waiting.count('Never mind')]).toEqual([1, 0]);
  });

  test.concurrent('what is not confirmed by its deadline is expired, not sent late', async () => {
    const [sent, late] = await Promise.all([place(world, 'webhook'), place(world, 'slack')]);
    world.sandbox.misbehave('slack', { do: 'rateLimit', retryAfter: 11, place: late.at });
    const expiresAt = new Date(Date.now() + 8_000).toISOString();
    const broadcast = await say(world, 'Only now', [sent, late], { expiresAt });
    const after = await converged(world, broadcast);
    expect(after.deliveries.map(({ state }) => state)).toEqual(['confirmed', 'expired']);
    expect(after.state).toBe('partial');
    // Past the time at which it would have been sent again.
    await until('the rate limit to be over', () => Date.now() > Number(writes(world, late)[0]?.at) + 12_000);
    expect(late.seen()).toEqual([]);
    expect(writes(world, late)).toHaveLength(1);
  });

  test.concurrent('with no required delivery at all, the optional ones decide; with one, it alone does', async () => {
    const [main, extra] = await Promise.all([place(world, 'webhook'), place(world, 'slack')]);
    world.sandbox.misbehave('slack', { do: 'error', code: 'channel_not_found', place: extra.at, times: 2 });
    const wanted = (required: boolean) => ({
      destinations: [
        { name: main.name, required },
        { name: extra.name, required: false },
      ],
    });
    const decided = await say(world, 'Main one', [], wanted(true));
    expect((await converged(world, decided)).state).toBe('delivered');
    const open = await say(world, 'Either one', [], wanted(false));
    expect((await converged(world, open)).state).toBe('partial');
  });
});
