import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { adapters } from '../../src/destinations/registry.ts';
import {
  failed,
  type Ledger,
  openLedger,
  putDestination,
  record,
  row,
  settleOne,
  take,
  verifiable,
} from '../support/ledger.ts';

let ledger: Ledger;
beforeAll(async () => {
  ledger = await openLedger();
});
afterEach(() => ledger.clear());
afterAll(() => ledger.close());

async function move(channel: string): Promise<void> {
  await ledger.db.query(`update destinations set place = jsonb_build_object('channel', $1::text)`, [channel]);
}

async function due(id: string): Promise<void> {
  await ledger.db.query('update deliveries set due_at = now() where id = $1', [id]);
}

test('a look is told where the send went, also when the process died with it and the destination was moved', async () => {
  await putDestination(ledger.db, 'chat', { kind: 'slack' });
  await move('old');
  const { delivery } = await record(ledger.db, { to: [{ name: 'chat', kind: 'slack' }] });
  const sent = await take(ledger.db, delivery);
  expect(sent).toMatchObject({ action: 'deliver', place: { channel: 'old' } });
  // Written with the claim: whoever dies now leaves it behind.
  expect(await row(ledger.db, delivery)).toMatchObject({ state: 'sending', place: { channel: 'old' } });
  await move('new');
  await settleOne(ledger.db, sent, failed('ambiguous'), { rules: verifiable });
  await due(delivery);
  const look = await take(ledger.db, delivery);
  expect(look).toMatchObject({ action: 'verify', place: { channel: 'old' } });

  // What is sent again goes to where the destination is by then.
  const absentAt = new Date().toISOString();
  await settleOne(ledger.db, look, failed('ambiguous'), { rules: verifiable });
  await ledger.db.query(
    `update deliveries set suspect = suspect || jsonb_build_object('absentAt', $2::text) where id = $1`,
    [delivery, absentAt],
  );
  await due(delivery);
  expect(await take(ledger.db, delivery)).toMatchObject({ action: 'deliver', place: { channel: 'new' } });
});

test('destinations from before places were kept get the one that their kind would give them now', async () => {
  const settings = {
    slack: { channel: 'C0123456789', apiUrl: 'https://slack.com/api/' },
    teams: { teamId: 'team', channelId: 'channel', apiUrl: 'https://graph.microsoft.com/v1.0/' },
    jira: { projectKey: 'OPS', apiUrl: 'https://you.atlassian.net' },
    webhook: { url: 'https://hooks.example.com/1' },
  };
  for (const [kind, given] of Object.entries(settings)) {
    await putDestination(ledger.db, kind, { kind });
    await ledger.db.query('update destinations set settings = $2 where name = $1', [kind, given]);
  }
  const migration = await readFile(new URL('../../src/ledger/migrations/006-places.sql', import.meta.url), 'utf8');
  await ledger.db.query(migration.slice(migration.indexOf('update destinations')));
  const { rows } = await ledger.db.query('select name, place from destinations order by name');
  const { account: _, ...jira } = adapters.jira?.place?.(settings.jira, { email: 'a@b.example' }) ?? {};
  expect(rows).toEqual([
    { name: 'jira', place: jira },
    { name: 'slack', place: adapters.slack?.place?.(settings.slack, {}) },
    { name: 'teams', place: adapters.teams?.place?.(settings.teams, {}) },
    { name: 'webhook', place: null },
  ]);
});
