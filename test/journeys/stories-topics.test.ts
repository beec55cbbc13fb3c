import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startWorld, type World } from '../support/world.ts';
import { type Kind, place } from './places.ts';
import { attempts, converged, delivery, deliveryAt, read, say } from './steps.ts';

describe('the broadcasts of one topic', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue: 'postgres' });
  });
  afterAll(() => world?.stop());

  const policy = { backoff: { baseMs: 20, maxMs: 100 }, maxAttempts: 10 };
  const at = (kind: Kind) => place(world, kind, { policy });
  const retract = (id: string) => world.api('POST', `/broadcasts/${id}/retract`);
  const threads = (channel: string) =>
    world.sandbox.slack.channel(channel).map(({ text, ts, thread_ts }) => ({ text, ts, thread_ts }));

  test.concurrent('stand in one thread at every kind that has threads', async () => {
    const all = await Promise.all([at('slack'), at('teams'), at('jira'), at('email'), at('pagerduty')]);
    const [chat, teams, ticket, mail, pager] = all as [
      (typeof all)[0],
      (typeof all)[0],
      (typeof all)[0],
      (typeof all)[0],
      (typeof all)[0],
    ];
    const topic = 'INC-1';
    for (const title of ['One', 'Two', 'Three']) await say(world, title, all, { topic });
    const last = await say(world, 'Four', all, { topic });
    expect((await converged(world, last)).state).toBe('delivered');
    const [root, ...replies] = threads(chat.at);
    expect(replies.map(({ thread_ts }) => thread_ts)).toEqual([root?.ts, root?.ts, root?.ts]);
    const posts = world.sandbox.graph.channel('team', teams.at);
    expect(posts.map(({ subject, replies }) => [subject, ...replies.map((reply) => reply.subject)])).toEqual([
      ['One', 'Two', 'Three', 'Four'],
    ]);
    expect(world.sandbox.jira.issues(ticket.at).map(({ summary, comments }) => [summary, comments.length])).toEqual([
      ['One', 3],
    ]);
    const mails = world.sandbox.smtp.mailbox(mail.at);
    expect(mails.map(({ headers }) => headers.subject)).toEqual(
      ['One', 'Two', 'Three', 'Four'].map((title) => `[INFO] ${title}`),
    );
    for (const each of mails.slice(1)) expect(each.headers['in-reply-to']).toBe(mails[0]?.headers['message-id']);
    expect(world.sandbox.pagerduty.alerts(pager.at)).toHaveLength(1);
  });

  test.concurrent('go on when the earlier one dies, is cancelled, or expires', async () => {
    const ends = {
      dead: async () => {},
      cancelled: (id: string) => world.api('POST', `/broadcasts/${id}/cancel`),
      expired: async () => {},
    };
    await Promise.all(
      Object.entries(ends).map(async ([state, end]) => {
        const chat = await at('slack');
        const topic = `INC-${state}`;
        const fault =
          state === 'dead'
            ? { do: 'error' as const, code: 'restricted_action' }
            : { do: 'rateLimit' as const, retryAfter: 8 };
        world.sandbox.misbehave('slack', { ...fault, place: chat.at });
        const rest = state === 'expired' ? { expiresAt: new Date(Date.now() + 5_000).toISOString() } : {};
        const first = await say(world, 'Earlier', [chat], { topic, ...rest });
        const second = await say(world, 'Later', [chat], { topic });
        await end(first.id);
        expect((await converged(world, second)).state).toBe('delivered');
        expect(deliveryAt(await read(world, first), chat).state).toBe(state);
        expect(threads(chat.at)).toMatchObject([{ text: expect.stringContaining('Later'), thread_ts: undefined }]);
      }),
    );
  });

  test.concurrent('begin a new thread where the old one is gone at the service, and stay in that', async () => {
    const all = await Promise.all([at('slack'), at('teams'), at('jira')]);
    const [chat, teams, ticket] = all as [(typeof all)[0], (typeof all)[0], (typeof all)[0]];
    const topic = 'INC-2';
    await converged(world, await say(world, 'One', all, { topic }));
    world.sandbox.misbehave('slack', { do: 'error', code: 'cannot_reply_to_message', place: chat.at });
    for (const each of [teams, ticket])
      world.sandbox.misbehave(each.service, { do: 'refuse', status: 404, place: each.at });
    const second = await converged(world, await say(world, 'Two', all, { topic }));
    expect(second.state).toBe('delivered');
    expect(await attempts(world, deliveryAt(second, chat))).toEqual(['deliver permanent', 'deliver success']);
    expect((await converged(world, await say(world, 'Three', all, { topic }))).state).toBe('delivered');
    const [one, two, three] = threads(chat.at);
    expect([one?.thread_ts, two?.thread_ts === two?.ts, three?.thread_ts]).toEqual([undefined, true, two?.ts]);
    expect(world.sandbox.graph.channel('team', teams.at).map(({ replies }) => replies.length)).toEqual([0, 1]);
    expect(world.sandbox.jira.issues(ticket.at).map(({ comments }) => comments.length)).toEqual([0, 1]);
  });

  test.concurrent('go on in the thread whose first message was retracted, or begin anew where it stood alone', async () => {
    const [busy, alone] = await Promise.all([at('slack'), at('slack')]);
    const first = await say(world, 'One', [busy], { topic: 'INC-3' });
    await converged(world, await say(world, 'Two', [busy], { topic: 'INC-3' }));
    await retract(first.id);
    await converged(world, first);
    await converged(world, await say(world, 'Three', [busy], { topic: 'INC-3' }));
    const [two, three] = threads(busy.at);
    expect(two?.thread_ts).toBeDefined();
    expect(three?.thread_ts).toBe(two?.thread_ts);

    const only = await say(world, 'One', [alone], { topic: 'INC-4' });
    await converged(world, only);
    await retract(only.id);
    await converged(world, only);
    await converged(world, await say(world, 'Two', [alone], { topic: 'INC-4' }));
    expect(threads(alone.at)).toMatchObject([{ text: expect.stringContaining('Two'), thread_ts: undefined }]);
  });

  test.concurrent('are looked for in the thread they were sent to, also when its first message is retracted meanwhile', async () => {
    const chat = await at('slack');
    const first = await say(world, 'One', [chat], { topic: 'INC-5' });
    await converged(world, first);
    world.sandbox.misbehave('slack', { do: 'swallow', place: chat.at });
    const second = await say(world, 'Two', [chat], { topic: 'INC-5' });
    await delivery(world, second, chat, 'verifying');
    await retract(first.id);
    const after = await converged(world, second);
    expect(await attempts(world, deliveryAt(after, chat))).toEqual(['deliver ambiguous', 'verify landed']);
    expect(threads(chat.at)).toHaveLength(1);
  });

  test.concurrent('arrive in one thread, each once, when many are accepted at once', async () => {
    const chat = await at('slack');
    const titles = Array.from({ length: 12 }, (_, n) => `Update ${n}.`);
    const all = await Promise.all(titles.map((title) => say(world, title, [chat], { topic: 'INC-6' })));
    for (const each of all) expect((await converged(world, each)).state).toBe('delivered');
    const [root, ...replies] = threads(chat.at);
    expect(replies).toHaveLength(11);
    expect(new Set(replies.map(({ thread_ts }) => thread_ts))).toEqual(new Set([root?.ts]));
  });
});

describe('cross-links', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue: 'postgres' });
  });
  afterAll(() => world?.stop());

  const policy = { backoff: { baseMs: 20, maxMs: 100 }, maxAttempts: 3 };
  const at = (kind: Kind) => place(world, kind, { policy });

  test.concurrent('name the other places in the chats once all are there, the ticket first, and stay when the text changes', async () => {
    const all = await Promise.all([at('slack'), at('teams'), at('jira'), at('webhook')]);
    const [chat, teams, ticket, hook] = all as [(typeof all)[0], (typeof all)[0], (typeof all)[0], (typeof all)[0]];
    world.sandbox.misbehave('jira', { do: 'slow', ms: 300, place: ticket.at });
    const broadcast = await say(world, 'Linked', all, { crossLink: true });
    const after = await converged(world, broadcast);
    expect(after.state).toBe('delivered');
    expect(after.deliveries.map(({ revision }) => revision.confirmed)).toEqual([2, 2, 1, 1]);
    const key = String(deliveryAt(after, ticket).receipt?.issueKey);
    const [said] = chat.seen();
    expect(said?.indexOf(`|${key}>`)).toBeGreaterThan(0);
    expect(said?.indexOf(`|${key}>`)).toBeLessThan(said?.indexOf(`|${teams.name}>`) ?? 0);
    expect(teams.seen()[0]).toContain(key);
    expect([chat, teams, ticket, hook].map(({ seen }) => seen().length)).toEqual([1, 1, 1, 1]);

    await world.api('PATCH', `/broadcasts/${broadcast.id}`, { message: { title: 'Still linked' } });
    const revised = await converged(world, broadcast);
    expect(revised.deliveries.map(({ revision }) => revision)).toEqual(Array(4).fill({ desired: 3, confirmed: 3 }));
    expect(chat.seen()[0]).toContain(`|${key}>`);
    expect(chat.seen()[0]).toContain('Still linked');
  });

  test.concurrent('that cannot be added are forgiven', async () => {
    const [chat, ticket] = await Promise.all([at('slack'), at('jira')]);
    world.sandbox.misbehave('slack', { do: 'error', code: 'edit_window_closed', place: chat.at, after: 1 });
    const broadcast = await say(world, 'Unlinked', [chat, ticket], { crossLink: true });
    const after = await converged(world, broadcast);
    expect(after.state).toBe('delivered');
    expect(deliveryAt(after, chat)).toMatchObject({ state: 'confirmed', revision: { desired: 1, confirmed: 1 } });
    await world.api('PATCH', `/broadcasts/${broadcast.id}`, { message: { title: 'Linked after all' } });
    expect((await converged(world, broadcast)).state).toBe('delivered');
    expect(chat.seen()[0]).toContain('Linked after all');
    expect(chat.seen()[0]).toContain(`|${ticket.at}-1>`);
  });
});
