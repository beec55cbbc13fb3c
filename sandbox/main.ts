import { startSandbox } from './index.ts';

const { SANDBOX_HOST = '127.0.0.1', SANDBOX_PORT = '9090', SANDBOX_SMTP_PORT = '9025' } = process.env;

const sandbox = await startSandbox({
  host: SANDBOX_HOST,
  port: portFrom('SANDBOX_PORT', SANDBOX_PORT),
  smtpPort: portFrom('SANDBOX_SMTP_PORT', SANDBOX_SMTP_PORT),
}).catch((error: NodeJS.ErrnoException) => {
  console.error(`The sandbox can't start: ${error.message}`);
  if (error.code === 'EADDRINUSE') console.error('Choose free ports with SANDBOX_PORT and SANDBOX_SMTP_PORT.');
  process.exit(1);
});

const { addresses } = sandbox;
console.log(`The sandbox is at ${sandbox.url}\n
  Slack       apiUrl ${addresses.slackApiUrl}   token xoxb-anything
  Teams       apiUrl ${addresses.graphApiUrl}   tokenUrl ${addresses.graphTokenUrl}   accessToken static-anything
  Workflows   url    ${addresses.workflowUrl('ops')}
  Jira        apiUrl ${addresses.jiraApiUrl}   any e-mail and token
  PagerDuty   apiUrl ${addresses.pagerdutyApiUrl}
  Webhook     url    ${addresses.webhookUrl('ops')}
  E-mail      url    ${addresses.smtpUrl}
`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void sandbox.close());
}

function portFrom(name: string, value: string): number {
  const port = Number(value);
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port;
  console.error(`${name} is '${value}': give a port number from 0 (any free one) to 65535.`);
  process.exit(1);
}
