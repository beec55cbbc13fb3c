import { teams } from '../../src/destinations/teams/index.ts';
import { adapterSuite } from './suite.ts';

adapterSuite('teams', (sandbox) => {
  const { graphApiUrl: apiUrl, graphTokenUrl: tokenUrl } = sandbox.addresses;
  const settings = { teamId: 'team-1', channelId: '19:incidents@thread.tacv2', apiUrl, tokenUrl };
  const secrets = { accessToken: 'static-0123456789abcdef' };
  return {
    adapter: teams,
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
