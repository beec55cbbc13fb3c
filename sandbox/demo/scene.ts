import { randomBytes } from 'node:crypto';
import type { Sandbox, Service } from '../index.ts';
import type { Tocsin } from './tocsin.ts';

/** One of the five destinations: how it is configured, what goes wrong there, and what its people see. */
export interface Place {
  name: string;
  service: Service;
  /** Its own name in a sentence. */
  called: string;
  configuration: object;
  /** The messages people there see now, one line each. */
  seen(): string[];
}

export const callbackSecret = `whsec_${randomBytes(24).toString('base64')}`;
export const callbackName = 'your-callback';

export const message = {
  title: 'P1: checkout is down',
  body: 'Error rate **42 %** since 14:02.',
  severity: 'critical',
  fields: [{ name: 'Service', value: 'checkout' }],
  links: [{ text: 'Runbook', url: 'https://runbooks.example.com/checkout' }],
};

export function createPlaces(sandbox: Sandbox): Place[] {
  const { addresses } = sandbox;
  return [
    {
      name: 'slack-incidents',
      service: 'slack',
      called: 'Slack',
      configuration: {
        kind: 'slack',
        settings: { channel: 'C0INCIDENTS', apiUrl: addresses.slackApiUrl },
        secrets: { token: 'xoxb-demo' },
      },
      seen: () => sandbox.slack.channel('C0INCIDENTS').map(({ text }) => text),
    },
    {
      name: 'teams-ops',
      service: 'graph',
      called: 'Teams',
      configuration: {
        kind: 'teams',
        settings: { teamId: 'ops', channelId: 'general', apiUrl: addresses.graphApiUrl },
        secrets: { accessToken: 'static-demo' },
      },
      seen: () => sandbox.graph.channel('ops', 'general').map(({ subject }) => subject ?? ''),
    },
    {
      name: 'jira-ops',
      service: 'jira',
      called: 'Jira',
      configuration: {
        kind: 'jira',
        settings: { apiUrl: addresses.jiraApiUrl, projectKey: 'OPS', issueType: 'Incident' },
        secrets: { email: 'tocsin@example.com', apiToken: 'jira-demo' },
      },
      seen: () => sandbox.jira.issues('OPS').map(({ key, summary }) => `${key} ${summary}`),
    },
    {
      name: 'webhook-statuspage',
      service: 'webhook',
      called: 'The status page',
      configuration: { kind: 'webhook', settings: { url: addresses.webhookUrl('statuspage') } },
      seen: () => sandbox.webhook.distinct('statuspage').map(({ body }) => titleIn(body)),
    },
    {
      name: 'pagerduty-oncall',
      service: 'pagerduty',
      called: 'PagerDuty',
      configuration: {
        kind: 'pagerduty',
        settings: { apiUrl: addresses.pagerdutyApiUrl },
        secrets: { routingKey: randomBytes(16).toString('hex') },
      },
      seen: () => sandbox.pagerduty.alerts().map(({ payload }) => String(payload.summary)),
    },
  ];
}

export async function configure({ api }: Tocsin, places: readonly Place[]): Promise<void> {
  for (const { name, configuration } of places) await api('PUT', `/destinations/${name}`, configuration);
  await api('PUT', '/audiences/p1', { destinations: places.map(({ name }) => name) });
}

/** A bad day: three of the five services misbehave, each in another way. */
export function arm(sandbox: Sandbox): void {
  sandbox.misbehave('slack', { do: 'swallow' });
  sandbox.misbehave('graph', { do: 'rateLimit', retryAfter: 2, times: 2 });
  sandbox.misbehave('webhook', { do: 'refuse', status: 500, place: 'statuspage' });
  sandbox.misbehave('jira', { do: 'slow', ms: 900 });
}

export async function broadcast({ api }: Tocsin, sandbox: Sandbox): Promise<{ id: string }> {
  return api('POST', '/broadcasts', {
    message,
    audience: 'p1',
    topic: 'INC-1234',
    callback: { url: sandbox.addresses.webhookUrl(callbackName), secret: callbackSecret },
  });
}

function titleIn(body: unknown): string {
  const { data } = (body ?? {}) as { data?: { message?: { title?: string } } };
  return data?.message?.title ?? '?';
}
