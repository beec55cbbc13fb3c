import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isUnavailable, patiently } from '../support/patiently.ts';
import { until } from '../support/until.ts';
import { startWorld, type World } from '../support/world.ts';
import { type Configured, type Kind, type Place, place } from './places.ts';
import { attempts, converged, delivery, deliveryAt, expectOneEach, read, say, writes } from './steps.ts';

/** An incident is a story with updates: what people see of it at each place, through the public API alone. */
describe('a story', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ queue: 'postgres' });
  });
  afterAll(() => world?.stop());

  const quick = { backoff: { baseMs: 20, maxMs: 100 }, maxAttempts: 10 };
  const at = (kind: Kind, configured: Configured = { policy: quick }) => place(world, kind, configured);
  const patch = (id: string, title: string, message: object = {}) =>
    patiently(() => world.api('PATCH', `/broadcasts/${id}`, { message: { title, ...message } }), isUnavailable);
  const retract = (id: string) => patiently(() => world.api('POST', `/broadcasts/${id}/retract`), isUnavailable);
  const revisions = async (broadcast: { id: string }, of: Place) =>
    deliveryAt(await read(world, broadcast), of).revision;

  test.concurrent('is edited where it stands, and followed up where it cannot be', async () => {
    const edited = await Promise.all([at('slack'), at('teams'), at('jira'), at('pagerduty')]);
    const followed = await Promise.all([at('webhook'), at('email'), at('teams-workflow')]);
    const all = [...edited, ...followed];
    const broadcast = await say(world, 'Checkout is down', all);
    await converged(world, broadcast);
    const { status, body } = await patch(broadcast.id, 'Checkout is slow');
    expect([status, body.revision]).toEqual([202, 2]);
    for (const each of body.deliveries) {
      expect(each.revision.desired).toBe(2);
      expect(each.revision.confirmed).toBeGreaterThanOrEqual(1);
    }
    const after = await converged(world, broadcast);
    expect(after.state).toBe('delivered');
    expect(after.deliveries.map(({ revision }) => revision)).toEqual(Array(7).fill({ desired: 2, confirmed: 2 }));
    expectOneEach(all, 'Checkout is slow');
    expect(edited.map(({ count }) => count('Checkout is down'))).toEqual([0, 0, 0, 0]);
    const [hook, mail, flow] = followed as [Place, Place, Place];
    expect(followed.map(({ seen }) => seen().length)).toEqual([2, 2, 2]);
    expect(hook.seen().map((text) => JSON.parse(text).data.revision)).toEqual([1, 2]);
    expect(flow.seen().at(-1)).toContain('Update: Checkout is slow');
    const [first, second] = world.sandbox.smtp.mailbox(mail.at);
    expect(second?.headers.subject).toBe('Update: [INFO] Checkout is slow');
    expect(second?.headers['in-reply-to']).toBe(first?.headers['message-id']);
  });

  test.concurrent('is taken back: deleted, struck, resolved or followed up; twice is once, and no text comes after', async () => {
    const gone = await Promise.all([at('slack'), at('teams'), at('pagerduty')]);
    const [ticket, hook, mail] = await Promise.all([at('jira'), at('webhook'), at('email')]);
    const broadcast = await say(world, 'Sent in error', [...gone, ticket, hook, mail]);
    await converged(world, broadcast);
    expect((await retract(broadcast.id)).body).toMatchObject({ retracted: true, revision: 2 });
    const after = await converged(world, broadcast);
    expect(after.deliveries.map(({ state }) => state)).toEqual(Array(6).fill('confirmed'));
    expect(gone.map(({ seen }) => seen())).toEqual([[], [], []]);
    expect(world.sandbox.jira.issues(ticket.at).map(({ summary }) => summary)).toEqual(['[Retracted] Sent in error']);
    expect(JSON.parse(hook.seen().at(-1) ?? '').data).toMatchObject({ retracted: true, revision: 2 });
    expect(mail.seen().at(-1)).toContain('Retracted: ');
    const before = [...gone, ticket, hook, mail].map((each) => writes(world, each).length);
    expect((await retract(broadcast.id)).body).toMatchObject({ revision: 2, state: 'delivered' });
    expect((await patch(broadcast.id, 'Or was it?')).status).toBe(409);
    expect([...gone, ticket, hook, mail].map((each) => writes(world, each).length)).toEqual(before);
  });

  test.concurrent('that is taken back while nobody knows whether it was said, reaches who may have heard it', async () => {
    const [pager, hook, chat] = await Promise.all([at('pagerduty'), at('webhook'), at('slack')]);
    // Applied, but nobody says so.
    for (const { service, at: where } of [pager, hook])
      world.sandbox.misbehave(service, { do: 'failAfterApply', status: 503, place: where, times: 3 });
    world.sandbox.misbehave('slack', { do: 'swallow', place: chat.at });
    const broadcast = await say(world, 'False alarm', [pager, hook, chat]);
    await world.sandbox.until(() => [pager, hook, chat].every((each) => writes(world, each).length > 0));
    await retract(broadcast.id);
    const after = await converged(world, broadcast);
    expect(after.deliveries.map(({ state, revision }) => [state, revision.confirmed])).toEqual(
      Array(3).fill(['confirmed', 2]),
    );
    expect(pager.seen()).toEqual([]);
    expect(chat.seen()).toEqual([]);
    expect(hook.seen().at(-1)).toContain('"retracted":true');
  });

  test.concurrent('that is taken back before it was said is never said', async () => {
    const chat = await at('slack');
    world.sandbox.misbehave('slack', { do: 'rateLimit', retryAfter: 600, place: chat.at });
    const broadcast = await say(world, 'Never mind', [chat]);
    await delivery(world, broadcast, chat, 'retrying');
    expect((await retract(broadcast.id)).body).toMatchObject({ state: 'cancelled' });
    expect(deliveryAt(await read(world, broadcast), chat).state).toBe('superseded');
    expect((await world.api('POST', `/broadcasts/${broadcast.id}/retry`)).status).toBe(409);
    expect((await read(world, broadcast)).state).toBe('cancelled');
    expect(chat.seen()).toEqual([]);
  });

  test.concurrent('keeps its dead copy dead when it is revised, and tells it the newest text when a person tries again', async () => {
    const [good, bad] = await Promise.all([at('teams'), at('slack')]);
    world.sandbox.misbehave('slack', { do: 'error', code: 'channel_not_found', place: bad.at });
    const broadcast = await say(world, 'First words', [good, bad]);
    expect((await converged(world, broadcast)).state).toBe('partial');
    await patch(broadcast.id, 'Second words');
    expect((await converged(world, broadcast)).state).toBe('partial');
    expect([deliveryAt(await read(world, broadcast), bad).state, bad.seen()]).toEqual(['dead', []]);
    await world.api('POST', `/broadcasts/${broadcast.id}/retry`);
    const after = await converged(world, broadcast);
    expect(after.state).toBe('delivered');
    expect(deliveryAt(after, bad).revision).toEqual({ desired: 2, confirmed: 2 });
    expectOneEach([good, bad], 'Second words');
    expect([bad.count('First words'), good.count('First words')]).toEqual([0, 0]);
  });

  test.concurrent('whose edit was refused is edited again by the next text', async () => {
    const chat = await at('slack');
    const broadcast = await say(world, 'As it was', [chat]);
    await converged(world, broadcast);
    world.sandbox.misbehave('slack', { do: 'error', code: 'edit_window_closed', place: chat.at });
    await patch(broadcast.id, 'Refused');
    const dead = deliveryAt(await converged(world, broadcast), chat);
    expect(dead).toMatchObject({ state: 'dead', revision: { desired: 2, confirmed: 1 } });
    expect(chat.count('As it was')).toBe(1);
    await patch(broadcast.id, 'Taken');
    expect(deliveryAt(await converged(world, broadcast), chat).revision).toEqual({ desired: 3, confirmed: 3 });
    expectOneEach([chat], 'Taken');
  });

  test.concurrent('is edited after its deadline, which bounds only the first word', async () => {
    const chat = await at('slack');
    const expiresAt = new Date(Date.now() + 8_000).toISOString();
    const broadcast = await say(world, 'In time', [chat], { expiresAt });
    await converged(world, broadcast);
    await until('the deadline to pass', () => Date.now() > Date.parse(expiresAt) + 100);
    await patch(broadcast.id, 'And after');
    expect((await converged(world, broadcast)).state).toBe('delivered');
    expectOneEach([chat], 'And after');
  });

  test.concurrent('is not overtaken by an older edit that took its time', async () => {
    const chat = await at('slack');
    const broadcast = await say(world, 'One', [chat]);
    await converged(world, broadcast);
    world.sandbox.misbehave('slack', { do: 'slow', ms: 3_000, place: chat.at });
    await patch(broadcast.id, 'Two');
    await world.sandbox.until(() => writes(world, chat).length === 2);
    await patch(broadcast.id, 'Three');
    expect(await revisions(broadcast, chat)).toEqual({ desired: 3, confirmed: 1 });
    const after = await converged(world, broadcast);
    expect(await attempts(world, deliveryAt(after, chat))).toEqual([
      'deliver success',
      'revise success',
      'revise success',
    ]);
    expectOneEach([chat], 'Three');
  });
});
