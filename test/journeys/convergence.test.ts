import { randomBytes } from 'node:crypto';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { startWorld, type World } from '../support/world.ts';
import { type Kind, place } from './places.ts';
import {
  attempts,
  type Broadcast,
  converged,
  delivery,
  deliveryAt,
  expectOneEach,
  queues,
  read,
  say,
  writes,
} from './steps.ts';

describe.each(queues)('on the %s queue', (queue) => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue });
  });
  afterAll(() => world?.stop());

  const quick = { policy: { backoff: { baseMs: 50, maxMs: 200 } } };
  const places = (...kinds: Kind[]) => Promise.all(kinds.map((kind) => place(world, kind, quick)));
  /** A receiver for callbacks, and a secret of its own. */
  const receiver = (name: string) => ({
    url: world.sandbox.addresses.webhookUrl(name),
    secret: `whsec_${randomBytes(24).toString('base64')}`,
  });

  test.concurrent('five destinations, one rate limited twice: all converge on their own, and the callback says so once', async () => {
    const five = await places('slack', 'teams', 'jira', 'webhook', 'pagerduty');
    const [slack, teams] = five;
    if (!slack || !teams) throw new Error('unreachable');
    world.sandbox.misbehave('graph', { do: 'rateLimit', retryAfter: 3, times: 2, place: teams.at });
    const callback = receiver('seed-callback');
    const title = 'P1: checkout is down';
    const broadcast = await say(world, title, five, { callback, metadata: { incident: '42' } });
    const words = `${teams.name} retrying 2/5`;
    const meanwhile = await until(`the summary to say "${words}"`, async () => {
      const now = await read(world, broadcast);
      return now.summary.includes(words) ? now : null;
    });
    expect(meanwhile.state).toBe('converging');
    expect(deliveryAt(meanwhile, teams).lastError).toMatchObject({ class: 'rate_limited', status: 429 });

    const after = await converged(world, broadcast);
    expect(after).toMatchObject({ state: 'delivered', metadata: { incident: '42' } });
    expect(after.summary).toBe(five.map(({ name }) => `${name} confirmed`).join(', '));
    expectOneEach(five, title);
    expect(writes(world, slack)).toHaveLength(1);
    expect(writes(world, teams)).toHaveLength(3);

    const delivered = () => world.sandbox.webhook.deliveries('seed-callback');
    const call = await world.sandbox.until(() => delivered()[0]);
    expect(new Webhook(callback.secret).verify(String(call?.raw), call?.headers ?? {})).toMatchObject({
      type: 'broadcast.converged',
      data: { id: broadcast.id, state: 'delivered', summary: after.summary, metadata: { incident: '42' } },
    });
    const { body: page } = await world.api('GET', `/deliveries?broadcast=${broadcast.id}`);
    const [asDelivery] = page.items.filter(({ kind }: { kind: string }) => kind === 'callback');
    await until('the callback to be confirmed', async () =>
      (await attempts(world, asDelivery)).includes('deliver success'),
    );
    expect(delivered()).toHaveLength(1);
  });

  test.concurrent('defect 3: one failing receiver does not re-notify the healthy ones', async () => {
    const four = await places('slack', 'teams', 'webhook', 'webhook');
    const sick = four[3];
    if (!sick) throw new Error('unreachable');
    world.sandbox.misbehave('webhook', { do: 'refuse', status: 500, times: 3, place: sick.at });
    const broadcast = await say(world, 'Disk is full', four);
    expect(await converged(world, broadcast)).toMatchObject({ state: 'delivered' });
    expectOneEach(four, 'Disk is full');
    expect(four.map((each) => writes(world, each).length)).toEqual([1, 1, 1, 4]);
  });

  test.concurrent('defect 5: a receiver that answers 500 for ever was never told: dead, with every attempt on record', async () => {
    const three = await places('slack', 'webhook', 'jira');
    const [slack, sick] = three;
    if (!slack || !sick) throw new Error('unreachable');
    world.sandbox.misbehave('webhook', { do: 'refuse', status: 500, times: Number.POSITIVE_INFINITY, place: sick.at });
    const callback = receiver('partial-callback');
    const broadcast = await say(world, 'Queue is stuck', three, { callback });
    const after = await converged(world, broadcast);
    expect(after.state).toBe('partial');
    expect(after.deliveries.map(({ state }) => state)).toEqual(['confirmed', 'dead', 'confirmed']);
    const dead = deliveryAt(after, sick);
    expect(dead).toMatchObject({ lastError: { status: 500 }, attempt: 5, revision: { confirmed: 0 } });
    expect(await attempts(world, dead)).toEqual(Array(5).fill('deliver ambiguous'));

    const delivered = () => world.sandbox.webhook.deliveries('partial-callback');
    const call = await world.sandbox.until(() => delivered()[0]);
    expect(call?.body).toMatchObject({
      type: 'broadcast.converged',
      data: { state: 'partial', summary: after.summary },
    });
  });

  test.concurrent('defect 6: a 429 is never fatal, however many there are, and none of them is counted', async () => {
    const three = await places('slack', 'teams', 'webhook');
    for (const { service, at } of three) {
      world.sandbox.misbehave(service, { do: 'rateLimit', retryAfter: 0, times: 6, place: at });
    }
    const broadcast = await say(world, 'Limits everywhere', three);
    expect(await converged(world, broadcast)).toMatchObject({ state: 'delivered' });
    expectOneEach(three, 'Limits everywhere');
    expect(three.map((each) => writes(world, each).length)).toEqual([7, 7, 7]);
  });

  test.concurrent('defect 7: a 2xx whose body cannot be read is looked up, or believed, and never sent again', async () => {
    const five = await places('slack', 'teams', 'jira', 'webhook', 'teams-workflow');
    for (const { service, at } of five) {
      world.sandbox.misbehave(service, { do: 'garble', body: 'html', place: at });
    }
    const broadcast = await say(world, 'Unreadable replies', five);
    const after = await converged(world, broadcast);
    expect(after).toMatchObject({ state: 'delivered' });
    expectOneEach(five, 'Unreadable replies');
    expect(five.map((each) => writes(world, each).length)).toEqual([1, 1, 1, 1, 1]);
    expect(deliveryAt(after, { name: five[4]?.name ?? '' }).receipt).toMatchObject({ accepted: true });
  });

  test.concurrent('defect 10: last deliveries that settle together close their broadcast, once', async () => {
    const pair = await places('webhook', 'webhook');
    const callback = receiver('together-callback');
    const titles = Array.from({ length: 25 }, (_, n) => `Together ${n}.`);
    const broadcasts = await Promise.all(titles.map((title) => say(world, title, pair, { callback })));
    for (const broadcast of broadcasts) expect((await converged(world, broadcast)).state).toBe('delivered');
    const told = () => world.sandbox.webhook.deliveries('together-callback').map(({ body }) => Object(body).data.id);
    await world.sandbox.until(() => told().length >= broadcasts.length);
    expect(told().sort()).toEqual(broadcasts.map(({ id }) => id).sort());
  });

  test.concurrent('a delivery that ends dead goes to the fallback instead, and both sides say so', async () => {
    const oncall = await place(world, 'pagerduty', quick);
    const chat = await place(world, 'slack', { ...quick, fallback: oncall.name });
    world.sandbox.misbehave('slack', { do: 'error', code: 'is_archived', place: chat.at });
    const broadcast = await say(world, 'Nobody reads the chat', [chat]);
    const after = await converged(world, broadcast);
    expect(after.deliveries.map(({ destination, state }) => `${destination} ${state}`)).toEqual([
      `${chat.name} dead`,
      `${oncall.name} confirmed`,
    ]);
    expect(deliveryAt(after, chat).escalatedTo).toBe(deliveryAt(after, oncall).id);
    expectOneEach([oncall], 'Nobody reads the chat');
    expect(chat.seen()).toEqual([]);
  });

  test.concurrent('in an outage every critical message reaches the fallback, although most are held and none has ended', async () => {
    const oncall = await place(world, 'pagerduty', quick);
    const down = { name: `down-${oncall.name}` };
    const { status } = await world.api('PUT', `/destinations/${down.name}`, {
      kind: 'webhook',
      // Nobody listens there.
      settings: { url: 'http://127.0.0.1:9/' },
      fallback: oncall.name,
      policy: { maxAttempts: 20, escalateAfterMs: 2_000 },
    });
    expect(status).toBe(201);
    const titles = Array.from({ length: 8 }, (_, n) => `Outage ${n}.`);
    const broadcasts = await Promise.all(
      titles.map(async (title) => {
        const message = { title, severity: 'critical' };
        return (await world.api('POST', '/broadcasts', { message, destinations: [down.name] })).body as Broadcast;
      }),
    );
    for (const broadcast of broadcasts) await delivery(world, broadcast, oncall, 'confirmed');
    for (const title of titles) expectOneEach([oncall], title);
    for (const broadcast of broadcasts) {
      const after = await read(world, broadcast);
      expect(after.state).toBe('converging');
      expect(deliveryAt(after, down).escalatedTo).toBe(deliveryAt(after, oncall).id);
      await world.api('POST', `/broadcasts/${broadcast.id}/cancel`, {});
    }
    for (const broadcast of broadcasts) expect((await converged(world, broadcast)).state).toBe('partial');
  }, 60_000);
});
