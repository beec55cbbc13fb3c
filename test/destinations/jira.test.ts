import { jira } from '../../src/destinations/jira/index.ts';
import { adapterSuite } from './suite.ts';

adapterSuite('jira', (sandbox) => {
  const settings = { apiUrl: sandbox.addresses.jiraApiUrl, projectKey: 'OPS', issueType: 'Task' };
  const secrets = { email: 'tocsin@example.com', apiToken: 'ATATT-0123456789' };
  return {
    adapter: jira,
    service: 'jira',
    configuration: { settings, secrets },
    unreachable: { settings: { ...settings, apiUrl: 'http://127.0.0.1:2' }, secrets },
    texts: () =>
      sandbox.jira
        .issues('OPS')
        .flatMap((issue) => [issue, ...issue.comments])
        .map((each) =>
          JSON.stringify(each, (name, value) => (name === 'updated' || name === 'comments' ? undefined : value)),
        ),
  };
});
