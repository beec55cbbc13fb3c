import { describe, expect, it } from 'vitest';
import { teams } from '../../src/destinations/teams/index.ts';
import { newWire } from '../../src/destinations/wire.ts';
import { faultOf, receiptOf, stage } from './stage.ts';
import { adapterSuite } from './suite.ts';

adapterSuite(teams, (sandbox) => {
  const { graphApiUrl: apiUrl, graphTokenUrl: tokenUrl } = sandbox.addresses;
  const settings = { teamId: 'team-1', channelId: '19:incidents@thread.tacv2', apiUrl, tokenUrl };
  const secrets = { accessToken: 'static-0123456789abcdef' };
  return {
    service: 'graph',
    configuration: { settings, secrets },
    unreachable: { settings: { ...settings, apiUrl: 'http://127.0.0.1:2/v1.0/' }, secrets },
    texts: () =>
      sandbox.graph
        .channel('team-1', '19:incidents@thread.tacv2')
        .flatMap((post) => [post, ...post.replies])
        .map(({ attachments }) => String(attachments[0]?.content)),
  };
});

describe('teams and its tokens', () => {
  const scene = stage(teams);
  let count = 0;
  /** A credential of its own for every test: tokens outlive them. */
  const configuration = (refreshToken = `refresh-${++count}`) => {
    const { graphApiUrl: apiUrl, graphTokenUrl: tokenUrl } = scene.sandbox.addresses;
    const settings = { teamId: 'team-1', channelId: '19:incidents@thread.tacv2', apiUrl, tokenUrl };
    return { settings, secrets: { tenantId: 'tenant', clientId: 'client', refreshToken } };
  };
  const tokenRequests = () => scene.sandbox.requests('graph').filter(({ path }) => path.endsWith('token')).length;

  it('asks for one token, however many deliveries want it', async () => {
    const at = configuration();
    const performed = await Promise.all(['a', 'b', 'c'].map((key) => scene.make('deliver', key, at)));
    for (const each of performed) {
      receiptOf(each);
      expect(each.wire.requests).toBe(1);
    }
    receiptOf(await scene.make('deliver', 'd', at));
    expect(tokenRequests()).toBe(1);
  });

  it('gets a new token after one was refused before its time, in the next attempt', async () => {
    const at = configuration();
    receiptOf(await scene.make('deliver', 'a', at));
    scene.sandbox.graph.expireTokens();
    expect(faultOf(await scene.make('deliver', 'b', at))).toMatchObject({
      class: 'transient',
      reason: 'token_refused',
    });
    receiptOf(await scene.make('deliver', 'b', at));
    expect(tokenRequests()).toBe(2);
    expect(scene.sandbox.graph.channel('team-1', '19:incidents@thread.tacv2')).toHaveLength(2);
  });

  it('does not wait for a token to be refused that is about to end', async () => {
    const at = configuration();
    scene.sandbox.graph.tokenLifetimeSeconds = 30;
    receiptOf(await scene.make('deliver', 'a', at));
    receiptOf(await scene.make('deliver', 'b', at));
    expect(tokenRequests()).toBe(2);
  });

  it('gives up when a fresh token is refused, or a token given by hand', async () => {
    scene.sandbox.misbehave('graph', { do: 'refuse', status: 401 }, { do: 'refuse', status: 401 });
    const refused = { class: 'permanent', credential: true, status: 401 };
    expect(faultOf(await scene.make('deliver', 'a', configuration()))).toMatchObject(refused);
    const at = { ...configuration(), secrets: { accessToken: 'static-0123456789' } };
    expect(faultOf(await scene.make('deliver', 'a', at))).toMatchObject(refused);
  });

  it('uses each refresh token once where the service replaces them', async () => {
    const at = configuration();
    scene.sandbox.graph.rotateRefreshTokens = true;
    receiptOf(await scene.make('deliver', 'a', at));
    scene.sandbox.graph.expireTokens();
    faultOf(await scene.make('deliver', 'b', at));
    receiptOf(await scene.make('deliver', 'b', at));
  });

  it('blames the credential when it was revoked', async () => {
    const fault = faultOf(await scene.make('deliver', 'a', configuration('revoked-0123456789')));
    expect(fault).toMatchObject({ class: 'permanent', reason: 'invalid_grant', credential: true });
  });

  it('never doubts about a message because of its token', async () => {
    for (const misdeed of [{ do: 'swallow' }, { do: 'garble', body: 'html' }, { do: 'refuse', status: 503 }] as const) {
      scene.sandbox.misbehave('graph', { ...misdeed, place: 'token' });
      const performed = await scene.make('deliver', 'a', configuration());
      expect(faultOf(performed)).toMatchObject({ class: 'transient', reason: 'token_unavailable' });
      expect(performed.wire.sent).toBe('none');
    }
  });

  it('knows that nothing was sent where only the token came', async () => {
    const at = configuration();
    const settings = { ...at.settings, apiUrl: 'http://127.0.0.1:2/v1.0/' };
    expect(faultOf(await scene.make('deliver', 'a', { ...at, settings }))).toMatchObject({ class: 'transient' });
  });

  it('finds a message among many that came after it, and one that is not there nowhere', async () => {
    const at = configuration();
    const since = new Date();
    receiptOf(await scene.make('deliver', 'a', at));
    for (let n = 0; n < 60; n += 1) scene.sandbox.graph.say('team-1', '19:incidents@thread.tacv2', `Talk ${n}`);
    expect((await scene.make('verify', 'a', at, { since })).outcome).toMatchObject({ is: 'landed', revision: 1 });
    expect((await scene.make('verify', 'b', at, { since })).outcome).toEqual({ is: 'absent' });
  });

  it('blames the credential for a missing permission, and nobody for an archived channel', async () => {
    const at = { ...configuration(), secrets: { accessToken: 'static-nowrite' } };
    expect(faultOf(await scene.make('deliver', 'a', at))).toMatchObject({ reason: 'Forbidden', credential: true });
    const archived = configuration();
    archived.settings.teamId = 'archived';
    expect(faultOf(await scene.make('deliver', 'a', archived))).toMatchObject({
      reason: 'Forbidden',
      credential: false,
    });
  });

  it('says what a token without the right to read would mean', async () => {
    const { settings } = configuration();
    const secrets = { accessToken: 'static-noread' };
    const { network } = scene;
    const signal = AbortSignal.timeout(5_000);
    const way = { fetch: network.fetch, request: network.request, resolve: network.assertPublic };
    const checks = await teams.check?.({ settings, secrets, ...way, wire: newWire(), signal });
    expect(checks?.map(({ name, ok }) => [name, ok])).toEqual([
      ['token', true],
      ['user', true],
      ['channel', true],
      ['read-back', false],
    ]);
    expect(checks?.at(-1)?.detail).toContain('ChannelMessage.Read.All');
  });

  it('refuses a credential that is neither one thing nor the other', () => {
    expect(teams.secrets.safeParse({ tenantId: 't', clientId: 'c' }).success).toBe(false);
    expect(teams.secrets.safeParse({ accessToken: 'a', refreshToken: 'r' }).success).toBe(false);
    expect(teams.settings.safeParse({ teamId: 'a/../b', channelId: 'c' }).success).toBe(false);
  });
});
