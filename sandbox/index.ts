import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createControl } from './control.ts';
import { createFaults, type Fault } from './faults.ts';
import { createGraph, type GraphView } from './graph/index.ts';
import { createWire } from './http.ts';
import { createJira, type JiraView } from './jira/index.ts';
import { createPagerDuty, type PagerDutyView } from './pagerduty/index.ts';
import { createRecords, type Recorded } from './records.ts';
import { createSlack, type SlackView } from './slack/index.ts';
import { createSmtp, type SmtpView } from './smtp/index.ts';
import type { Service } from './standin.ts';
import { createWaiting, type Waiting } from './waiting.ts';
import { createWebhook, type WebhookView } from './webhook/index.ts';
import { createWorkflow, type WorkflowView } from './workflow/index.ts';

export type { Fault } from './faults.ts';
export type { GraphView, TeamsPost } from './graph/index.ts';
export type { JiraView } from './jira/index.ts';
export type { JiraComment, JiraIssue } from './jira/issues.ts';
export type { PagerDutyAlert } from './pagerduty/index.ts';
export type { Recorded } from './records.ts';
export type { SlackMessage } from './slack/channels.ts';
export type { Mail } from './smtp/mail.ts';
export type { Service } from './standin.ts';
export type { WebhookDelivery } from './webhook/index.ts';
export type { WorkflowPost } from './workflow/index.ts';

export interface Addresses {
  slackApiUrl: string;
  graphApiUrl: string;
  graphTokenUrl: string;
  jiraApiUrl: string;
  pagerdutyApiUrl: string;
  workflowUrl: (name: string) => string;
  webhookUrl: (name: string) => string;
  smtpUrl: string;
}

export interface Sandbox {
  url: string;
  addresses: Addresses;
  slack: SlackView;
  graph: GraphView;
  jira: JiraView;
  webhook: WebhookView;
  pagerduty: PagerDutyView;
  workflow: WorkflowView;
  smtp: SmtpView;
  /** Queues faults behind those already waiting for this service. */
  misbehave: (service: Service, ...faults: Fault[]) => void;
  /** Drops the faults still queued for one service, or for all. */
  behave: (service?: Service) => void;
  /** Every request received, oldest first; for smtp, every recipient asked for. */
  requests: (service?: Service) => Recorded[];
  /** The condition's first truthy value; looks again whenever something in the sandbox changes. */
  until: Waiting['until'];
  /** As on the first day: nothing posted, nothing recorded, no faults. Connections stay. */
  reset: () => void;
  close: () => Promise<void>;
}

export interface SandboxOptions {
  /** Default 127.0.0.1: anyone who reaches the sandbox can read and change everything in it. */
  host?: string;
  /** Default 0: any free one. */
  port?: number;
  smtpPort?: number;
  /** For faults with a probability; the same seed and requests give the same run. */
  seed?: number;
}

export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const { host = '127.0.0.1', port = 0, smtpPort = 0, seed = 1 } = options;
  const faults = createFaults(seed);
  const records = createRecords();
  const timers = new Set<NodeJS.Timeout>();
  const later = (ms: number, work: () => void) => {
    const timer = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timers.add(timer);
  };
  const forgetTimers = () => {
    for (const timer of timers) clearTimeout(timer);
    timers.clear();
  };
  const recent = () => records.all().slice(-10).map(line).join('\n');
  const waiting = createWaiting(() => `The last requests the sandbox received:\n${recent() || '  none'}`);
  const { changed } = waiting;

  let url = '';
  const ground = { url: () => url, changed };
  const slack = createSlack(ground);
  const graph = createGraph(ground);
  const jira = createJira(ground);
  const webhook = createWebhook();
  const pagerduty = createPagerDuty();
  const workflow = createWorkflow();
  const smtp = createSmtp({ faults, records, changed, later });
  const standIns = [slack, graph, jira, webhook, pagerduty, workflow].map(({ standIn }) => standIn);

  const reset = () => {
    forgetTimers();
    faults.clear();
    for (const standIn of standIns) standIn.reset();
    smtp.reset();
    records.clear();
    changed();
  };
  const state = () =>
    Object.fromEntries([...standIns.map((each) => [each.service, each.state()]), ['smtp', smtp.state()]]);
  const elsewhere = createControl({ faults, records, state, reset, changed, url: ground.url });
  const server = createWire({ standIns, faults, records, changed, later, elsewhere });

  server.listen(port, host);
  await once(server, 'listening');
  const shownHost = host.includes(':') ? `[${host}]` : host;
  url = `http://${shownHost}:${(server.address() as AddressInfo).port}`;
  smtp.server.listen(smtpPort, host);
  try {
    await once(smtp.server.server, 'listening');
  } catch (error) {
    server.close();
    throw error;
  }

  let closing: Promise<void> | undefined;
  const end = async () => {
    forgetTimers();
    waiting.close();
    const closed = [once(server, 'close'), once(smtp.server.server, 'close')];
    server.close();
    smtp.server.close();
    // A stalled request never ends by itself.
    server.closeAllConnections();
    smtp.cutAll();
    await Promise.all(closed);
  };

  return {
    url,
    addresses: {
      slackApiUrl: `${url}/slack/api/`,
      graphApiUrl: `${url}/graph/v1.0/`,
      graphTokenUrl: `${url}/graph/token`,
      jiraApiUrl: `${url}/jira`,
      pagerdutyApiUrl: `${url}/pagerduty/`,
      workflowUrl: (name) =>
        `${url}/workflows/${name}/triggers/manual/paths/invoke?api-version=1&sig=sandbox-signature`,
      webhookUrl: (name) => `${url}/webhooks/${name}`,
      smtpUrl: `smtp://${shownHost}:${(smtp.server.server.address() as AddressInfo).port}`,
    },
    slack: slack.view,
    graph: graph.view,
    jira: jira.view,
    webhook: webhook.view,
    pagerduty: pagerduty.view,
    workflow: workflow.view,
    smtp: smtp.view,
    misbehave: (service, ...each) => faults.add(service, each),
    behave: faults.clear,
    requests: records.all,
    until: waiting.until,
    reset,
    close() {
      closing ??= end();
      return closing;
    },
  };
}

function line({ service, method, path, fault, status }: Recorded): string {
  return `  ${service} ${method} ${path} → ${status ?? 'no answer'}${fault === null ? '' : ` (${fault})`}`;
}
