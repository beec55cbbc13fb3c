import { beforeAll, describe, expect, test } from 'vitest';
import { message, world } from './world.ts';

const here = world();
const { ask } = here;

beforeAll(async () => {
  await here.webhook('one');
  await here.webhook('two');
});

async function broadcast(): Promise<string> {
  return (await ask('POST', '/broadcasts', { message, destinations: ['one', 'two'] })).body.id;
}

/** As if the workers had been there. */
async function end(id: string, destination: string, state: string): Promise<void> {
  await here.parts.db.query(
    `update deliveries set state = $3, due_at = null, ended_at = now(), confirmed = case when $3 = 'confirmed' then desired else 0 end,
            receipt = case when $3 = 'confirmed' then '{"at":"2026-01-01T00:00:00.000Z","url":null}'::jsonb end
      where broadcast_id = $1 and destination = $2`,
    [id, destination, state],
  );
}

const states = (body: { deliveries: { state: string }[] }) => body.deliveries.map(({ state }) => state);

test('a broadcast with a thousand revisions takes no other text, and says what to do', async () => {
  const id = await broadcast();
  await here.parts.db.query('update broadcasts set revision = 1000 where id = $1', [id]);
  await here.parts.db.query('update revisions set revision = 1000 where broadcast_id = $1', [id]);
  const answer = await ask('PATCH', `/broadcasts/${id}`, { message: { title: 'One more' } });
  expect([answer.status, answer.body.type, answer.body.detail]).toEqual([
    409,
    expect.stringContaining('too-many-revisions'),
    expect.stringContaining('send a new one instead'),
  ]);
  expect((await ask('POST', `/broadcasts/${id}/retract`)).body).toMatchObject({ revision: 1_001, retracted: true });
});

describe('trying again', () => {
  test('opens the failed deliveries of a broadcast, or those in the states that are named', async () => {
    const id = await broadcast();
    await end(id, 'one', 'dead');
    await end(id, 'two', 'unknown');
    const some = await ask('POST', `/broadcasts/${id}/retry`, { states: ['unknown'] });
    expect([some.status, states(some.body)]).toEqual([202, ['dead', 'pending']]);
    expect(states((await ask('POST', `/broadcasts/${id}/retry`)).body)).toEqual(['pending', 'pending']);
    expect((await ask('POST', `/broadcasts/${id}/retry`, { states: ['confirmed'] })).body.errors[0].pointer).toBe(
      '/states/0',
    );
    expect((await ask('POST', '/broadcasts/bc_none/retry')).status).toBe(404);
  });

  test('is refused where nothing failed, with what there is and what could be', async () => {
    const id = await broadcast();
    const waiting = await ask('POST', `/broadcasts/${id}/retry`);
    expect([waiting.status, waiting.body.type]).toEqual([409, 'urn:tocsin:problem:nothing-to-retry']);
    expect(waiting.body.detail).toContain('one pending, two pending. Only dead, unknown, or expired ones');
    await end(id, 'one', 'dead');
    const narrowed = await ask('POST', `/broadcasts/${id}/retry`, { states: ['expired'] });
    expect([narrowed.status, narrowed.body.detail]).toEqual([409, expect.stringContaining('Only expired ones')]);
  });

  test('many at a destination that never was is refused; one that is gone may have deliveries to show', async () => {
    for (const dryRun of [true, false]) {
      const unknown = await ask('POST', '/deliveries/retry', { destination: 'nobody', dryRun });
      expect([unknown.status, unknown.body.errors[0].pointer]).toEqual([422, '/destination']);
      expect(unknown.body.detail).toContain('nobody');
    }
    await here.webhook('brief');
    const { body } = await ask('POST', '/broadcasts', { message, destinations: ['brief'] });
    await end(body.id, 'brief', 'dead');
    expect((await ask('DELETE', '/destinations/brief')).status).toBe(204);
    const gone = await ask('POST', '/deliveries/retry', { destination: 'brief' });
    expect([gone.status, gone.body]).toEqual([200, { matched: 0, retried: 0 }]);
  });

  test('one delivery is refused unless it failed', async () => {
    const id = await broadcast();
    await end(id, 'one', 'dead');
    const [one, two] = (await ask('GET', `/broadcasts/${id}`)).body.deliveries;
    const again = await ask('POST', `/deliveries/${one.id}/retry`);
    expect([again.status, again.body.state]).toEqual([202, 'pending']);
    expect((await ask('POST', `/deliveries/${two.id}/retry`)).status).toBe(409);
    expect((await ask('POST', '/deliveries/dl_none/retry')).status).toBe(404);
  });

  test('many are counted before they are opened', async () => {
    await here.webhook('many');
    for (let n = 0; n < 3; n += 1) {
      const { body } = await ask('POST', '/broadcasts', { message, destinations: ['many'] });
      await end(body.id, 'many', 'dead');
    }
    const filter = { state: 'dead', destination: 'many', since: '2020-01-01T00:00:00Z', until: '2999-01-01T00:00:00Z' };
    expect((await ask('POST', '/deliveries/retry', { ...filter, dryRun: true })).body).toEqual({
      matched: 3,
      retried: 0,
    });
    expect((await ask('POST', '/deliveries/retry', filter)).body).toEqual({ matched: 3, retried: 3 });
    expect((await ask('POST', '/deliveries/retry', filter)).body).toEqual({ matched: 0, retried: 0 });
    expect((await ask('POST', '/deliveries/retry', { state: 'confirmed' })).body.errors[0].pointer).toBe('/state');
  });
});

test('a new text makes the next revision, and reopens what was delivered', async () => {
  const id = await broadcast();
  await end(id, 'one', 'confirmed');
  const { status, body } = await ask('PATCH', `/broadcasts/${id}`, { message: { title: 'Recovered' } });
  expect(status).toBe(202);
  expect(body).toMatchObject({ revision: 2, message: { title: 'Recovered', severity: 'info' }, state: 'converging' });
  expect(body.deliveries[0]).toMatchObject({ state: 'pending', revision: { desired: 2, confirmed: 1 } });
  expect((await ask('PATCH', `/broadcasts/${id}`, { message: {} })).body.errors[0].pointer).toBe('/message/title');
  expect((await ask('PATCH', '/broadcasts/bc_none', { message })).status).toBe(404);
});

test('what is retracted stays so', async () => {
  const id = await broadcast();
  const { status, body } = await ask('POST', `/broadcasts/${id}/retract`);
  expect([status, body.retracted, states(body)]).toEqual([202, true, ['superseded', 'superseded']]);
  expect((await ask('POST', `/broadcasts/${id}/retract`)).status).toBe(202);
  expect((await ask('PATCH', `/broadcasts/${id}`, { message })).status).toBe(409);
  expect((await ask('POST', '/broadcasts/bc_none/retract')).status).toBe(404);
});

test('what is cancelled is not sent, and what was delivered stays', async () => {
  const id = await broadcast();
  await end(id, 'one', 'confirmed');
  const { status, body } = await ask('POST', `/broadcasts/${id}/cancel`);
  expect([status, body.state, states(body)]).toEqual([202, 'partial', ['confirmed', 'cancelled']]);
  expect((await ask('POST', `/broadcasts/${id}/cancel`)).status).toBe(202);
  expect((await ask('POST', '/broadcasts/bc_none/cancel')).status).toBe(404);
});

test('a text that it says already is no revision', async () => {
  const id = await broadcast();
  await end(id, 'one', 'confirmed');
  const before = (await ask('GET', `/broadcasts/${id}`)).body;
  const same = await ask('PATCH', `/broadcasts/${id}`, { message: { ...message, severity: 'info' } });
  expect([same.status, same.body]).toEqual([200, before]);
  const other = await ask('PATCH', `/broadcasts/${id}`, { message: { ...message, severity: 'error' } });
  expect([other.status, other.body.revision]).toEqual([202, 2]);
  expect((await ask('PATCH', `/broadcasts/${id}`, { message })).body.revision).toBe(3);
});

describe('a cancelled broadcast', () => {
  test('says nothing anew when nothing of it was sent, and the answer says what to do', async () => {
    const id = await broadcast();
    await ask('POST', `/broadcasts/${id}/cancel`);
    const { status, body } = await ask('PATCH', `/broadcasts/${id}`, { message: { title: 'Recovered' } });
    expect([status, body.type]).toEqual([409, 'urn:tocsin:problem:cancelled']);
    expect(body.detail).toMatch(/cancelled.*send a new one/);
    expect((await ask('GET', `/broadcasts/${id}`)).body.revision).toBe(1);
  });

  test('has copies that were sent before edited', async () => {
    const id = await broadcast();
    await end(id, 'one', 'confirmed');
    await ask('POST', `/broadcasts/${id}/cancel`);
    const { status, body } = await ask('PATCH', `/broadcasts/${id}`, { message: { title: 'Recovered' } });
    expect([status, states(body)]).toEqual([202, ['pending', 'cancelled']]);
  });
});

test('a delivery that is held says why, and behind which broadcast', async () => {
  const ids: string[] = [];
  for (let n = 0; n < 3; n += 1) {
    const { body } = await ask('POST', '/broadcasts', { message, destinations: ['one'], topic: 'INC-1234' });
    ids.push(body.id);
  }
  const [first, ...later] = ids;
  const hold = (why: string) =>
    here.parts.db.query(`update deliveries set state = 'held', hold = $2, due_at = null where broadcast_id = any($1)`, [
      later,
      why,
    ]);
  await hold('topic');
  for (const id of later) {
    const { body } = await ask('GET', `/broadcasts/${id}`);
    expect(body.summary).toBe('one held (behind an earlier broadcast of INC-1234)');
    expect(body.deliveries).toMatchObject([{ state: 'held', hold: 'topic', behind: first }]);
    expect((await ask('GET', `/deliveries/${body.deliveries[0].id}`)).body.behind).toBe(first);
  }
  await hold('breaker');
  const { body } = await ask('GET', `/broadcasts/${later[0]}`);
  expect(body.summary).toBe('one held (breaker open)');
  expect(body.deliveries[0]).not.toHaveProperty('behind');
});

test('what is taken back is not summed up as if it stood', async () => {
  const id = await broadcast();
  await end(id, 'one', 'confirmed');
  expect((await ask('POST', `/broadcasts/${id}/retract`)).body.summary).toBe('one retracting, two superseded');
  await here.parts.db.query(
    `update deliveries set state = 'confirmed', confirmed = desired, due_at = null, ended_at = now()
      where broadcast_id = $1 and destination = 'one'`,
    [id],
  );
  expect((await ask('GET', `/broadcasts/${id}`)).body.summary).toBe('one retracted, two superseded');
});
