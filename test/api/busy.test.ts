import { expect, test } from 'vitest';
import { message, world } from './world.ts';

const api = world();

test('who wants to change what another session keeps locked is told to come again, and nothing was changed', async () => {
  await api.webhook('ops');
  const { body } = await api.ask('POST', '/broadcasts', { message, destinations: ['ops'] });
  const frozen = await api.parts.db.connect();
  try {
    await frozen.query('begin');
    await frozen.query('set local idle_in_transaction_session_timeout = 0');
    await frozen.query('select from broadcasts where id = $1 for update', [body.id]);
    const answers = await Promise.all([
      api.ask('POST', `/broadcasts/${body.id}/cancel`),
      api.ask('PATCH', `/broadcasts/${body.id}`, { message: { title: 'Better' } }),
    ]);
    for (const { status, headers, body } of answers) {
      expect({ status, body }).toMatchObject({
        status: 503,
        body: { detail: expect.stringMatching(/Nothing was changed/) },
      });
      expect(Number(headers['retry-after'])).toBeGreaterThan(0);
    }
  } finally {
    await frozen.query('rollback');
    frozen.release();
  }
  expect((await api.ask('GET', `/broadcasts/${body.id}`)).body).toMatchObject({ state: 'converging', revision: 1 });
  expect((await api.ask('POST', `/broadcasts/${body.id}/cancel`)).status).toBe(202);
});
