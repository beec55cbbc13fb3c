import { describe, expect, it } from 'vitest';
import type { Adapter } from '../../src/destinations/adapter.ts';
import { adapters } from '../../src/destinations/registry.ts';
import { faultOf, receiptOf, type Stage, stage } from './stage.ts';

const kinds = {
  slack: {
    service: 'slack',
    at: ({ addresses }: Stage['sandbox']) => ({
      settings: { channel: 'C0OLD', apiUrl: addresses.slackApiUrl },
      secrets: { token: 'xoxb-1234' },
    }),
    moved: { channel: 'C0NEW' },
  },
  teams: {
    service: 'graph',
    at: ({ addresses }: Stage['sandbox']) => ({
      settings: { teamId: 'team', channelId: 'old', apiUrl: addresses.graphApiUrl },
      secrets: { accessToken: 'static-0123456789' },
    }),
    moved: { channelId: 'new' },
  },
} as const;

describe.each(['slack', 'teams'] as const)('%s', (kind) => {
  const scene = stage(adapters[kind] as Adapter);
  const { service, at, moved } = kinds[kind];
  const here = () => at(scene.sandbox);
  const elsewhere = () => ({ ...here(), settings: { ...here().settings, ...moved } });
  const place = () => {
    const { settings, secrets } = here();
    return adapters[kind]?.place?.(settings, secrets) ?? null;
  };

  it('looks in the place of the send, and changes a copy where it stands', async () => {
    const receipt = receiptOf(await scene.make('deliver', 'dl_1', here()));
    expect((await scene.make('verify', 'dl_1', elsewhere(), { place: place() })).outcome).toMatchObject({
      is: 'landed',
    });
    expect((await scene.make('verify', 'dl_2', elsewhere(), { place: place() })).outcome).toEqual({ is: 'absent' });
    receiptOf(await scene.make('revise', 'dl_1', elsewhere(), { receipt, revision: 2 }));
    receiptOf(await scene.make('retract', 'dl_1', elsewhere(), { receipt, revision: 3 }));
    expect((await scene.make('verify', 'dl_1', here())).outcome).toEqual({ is: 'absent' });
  });

  it('does not believe another server that has never seen the message', async () => {
    receiptOf(await scene.make('deliver', 'dl_1', here()));
    const asked = scene.sandbox.requests(service).length;
    const { settings, secrets } = here();
    const other = { settings: { ...settings, apiUrl: settings.apiUrl.replace('127.0.0.1', 'localhost') }, secrets };
    expect(faultOf(await scene.make('verify', 'dl_1', other, { place: place() })).reason).toBe('unclear');
    expect(scene.sandbox.requests(service)).toHaveLength(asked);
  });

  it('begins a thread anew where the old channel cannot be reached any more', async () => {
    const root = receiptOf(await scene.make('deliver', 'dl_1', here()));
    const gone = { slack: { do: 'error', code: 'is_archived' }, teams: { do: 'refuse', status: 403 } } as const;
    scene.sandbox.misbehave(service, gone[kind]);
    expect(faultOf(await scene.make('deliver', 'dl_2', elsewhere(), { root }))).toMatchObject({ rootGone: true });
    scene.sandbox.misbehave(service, gone[kind]);
    expect(faultOf(await scene.make('deliver', 'dl_2', here(), { root })).rootGone).toBeUndefined();
  });
});
