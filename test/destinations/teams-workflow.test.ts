import { teamsWorkflow } from '../../src/destinations/teams-workflow/index.ts';
import { adapterSuite } from './suite.ts';

adapterSuite('teams-workflow', (sandbox) => ({
  adapter: teamsWorkflow,
  service: 'workflow',
  configuration: { settings: {}, secrets: { url: sandbox.addresses.workflowUrl('ops') } },
  unreachable: { settings: {}, secrets: { url: 'http://127.0.0.1:2/workflows/ops?sig=signature' } },
  // The same card posted twice counts as one: a flow shows both, which is why nothing here is ever repeated by itself.
  texts: () => [...new Set(sandbox.workflow.posts('ops').map(({ card }) => JSON.stringify(card)))],
  readsReplies: false,
  followUps: true,
}));
