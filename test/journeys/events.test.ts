import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Ear } from '../support/events.ts';
import { until } from '../support/until.ts';
import { startWorld, type World } from '../support/world.ts';
import { place } from './places.ts';
import { converged, say } from './steps.ts';

let world: World;
beforeAll(async () => {
  world = await startWorld({ queue: 'postgres' });
});
afterAll(() => world?.stop());

const quick = { backoff: { baseMs: 50, maxMs: 200 } };

async function following(path: string, lastEventId?: string): Promise<Ear> {
  const ear = await world.hear(path, lastEventId);
  expect(ear.status).toBe(200);
  await until('the stream to begin', () => ear.lastId() !== '');
  return ear;
}

const delivered = (ear: Ear, { id }: { id: string }) =>
  ear.hears(`${id} to be delivered`, ({ data }) => data.id === id && data.state === 'delivered');

test('a stream outlives the absence of its database', async () => {
  const chat = await place(world, 'slack', { policy: quick });
  const ear = await following('/events');
  world.databaseLine.cut();
  await until('it to be noticed', async () => (await world.api('GET', '/readyz')).status === 503);
  world.databaseLine.heal();
  await until('it to be back', async () => (await world.api('GET', '/readyz')).status === 200);
  await delivered(ear, await say(world, 'After the outage', [chat]));
  expect(ear.ended()).toBe(false);
});

test.each(['killed', 'ended in order'])(
  'who was cut when the process was %s hears the rest from the next one',
  async (how) => {
    const chat = await place(world, 'slack', { policy: quick });
    const ear = await following('/events');
    const heard = await say(world, 'Heard', [chat]);
    await delivered(ear, heard);
    // Somebody else is told of this one; to the first it comes when he is back.
    ear.cut();
    const missed = await say(world, 'Missed', [chat]);
    await converged(world, missed);
    const other = await following('/events');
    if (how === 'killed') await world.kill();
    else expect(await world.end()).toBe(0);
    await until('the stream to end', other.ended);
    await world.start();

    const again = await following('/events', ear.lastId());
    await delivered(again, missed);
    await delivered(again, await say(world, 'Afterwards', [chat]));
    expect(again.heard.map(({ data }) => data.id)).not.toContain(heard.id);
  },
);

test('a person sees one broadcast fail, be retried and converge', async () => {
  const chat = await place(world, 'slack', { policy: { ...quick, maxAttempts: 1 } });
  world.sandbox.misbehave(chat.service, { do: 'refuse', status: 404, place: chat.at });
  const broadcast = await say(world, 'Not at once', [chat]);
  const ear = await following(`/broadcasts/${broadcast.id}/events`);
  await ear.hears('it to fail', ({ data }) => data.id === broadcast.id && data.state === 'failed');
  await world.api('POST', `/broadcasts/${broadcast.id}/retry`);
  await delivered(ear, broadcast);
});
