import { randomBytes } from 'node:crypto';
import type { Service } from '../../sandbox/index.ts';
import { isUnavailable, patiently } from '../support/patiently.ts';
import type { World } from '../support/world.ts';

/** One destination that no other test uses, and what people see there. */
export interface Place {
  name: string;
  service: Service;
  /** What a fault is aimed at. */
  at: string;
  /** How many messages with these words stand there now. */
  count(words: string): number;
  /** Every message there now, oldest first, as text that holds its words. */
  seen(): string[];
}

export interface Configured {
  policy?: Record<string, unknown>;
  required?: boolean;
  fallback?: string;
}

export type Kind = 'slack' | 'teams' | 'teams-workflow' | 'jira' | 'webhook' | 'email' | 'pagerduty';

let places = 0;

/** Configures a destination at the sandbox through the API. Each has a credential, and so a rate limit, of its own. */
export async function place(world: World, kind: Kind, configured: Configured = {}): Promise<Place> {
  places += 1;
  const { service, at, seen, ...body } = described(world, kind, places);
  const name = `${kind}-${places}`;
  // An attempt that a busy machine makes late would count as one that failed.
  const policy = { timeoutMs: 30_000, ...configured.policy };
  const wanted = { kind, ...body, ...configured, policy };
  const { status, body: said } = await patiently(
    () => world.api('PUT', `/destinations/${name}`, wanted),
    isUnavailable,
  );
  if (status !== 201) throw new Error(`PUT /destinations/${name}: ${status} ${JSON.stringify(said)}`);
  return { name, service, at, seen, count: (words) => seen().filter((text) => text.includes(words)).length };
}

function described({ sandbox }: World, kind: Kind, n: number) {
  const { addresses } = sandbox;
  const secret = `${n}-${randomBytes(8).toString('hex')}`;
  const texts = (messages: unknown[]) => messages.map((message) => JSON.stringify(message));
  switch (kind) {
    case 'slack': {
      const at = `C0PLACE${n}`;
      return {
        service: 'slack' as const,
        at,
        settings: { channel: at, apiUrl: addresses.slackApiUrl },
        secrets: { token: `xoxb-${secret}` },
        seen: () => texts(sandbox.slack.channel(at)),
      };
    }
    case 'teams': {
      const at = `channel-${n}`;
      const posts = () => sandbox.graph.channel('team', at).flatMap(({ replies, ...post }) => [post, ...replies]);
      return {
        service: 'graph' as const,
        at,
        settings: { teamId: 'team', channelId: at, apiUrl: addresses.graphApiUrl },
        secrets: { accessToken: `static-${secret}` },
        seen: () => texts(posts()),
      };
    }
    case 'teams-workflow': {
      const at = `flow-${n}`;
      return {
        service: 'workflow' as const,
        at,
        settings: {},
        secrets: { url: `${addresses.workflowUrl(at)}-${secret}` },
        seen: () => texts(sandbox.workflow.posts(at)),
      };
    }
    case 'jira': {
      const at = `OPS${n}`;
      const issues = () => sandbox.jira.issues(at).flatMap(({ comments, ...issue }) => [issue, ...comments]);
      return {
        service: 'jira' as const,
        at,
        settings: { apiUrl: addresses.jiraApiUrl, projectKey: at, issueType: 'Task' },
        secrets: { email: `ops-${n}@example.com`, apiToken: `jira-${secret}` },
        seen: () => texts(issues()),
      };
    }
    case 'webhook': {
      const at = `receiver-${n}`;
      return {
        service: 'webhook' as const,
        at,
        settings: { url: addresses.webhookUrl(at) },
        secrets: { signingSecret: `whsec_${randomBytes(24).toString('base64')}` },
        // As a receiver sees it that drops what it has had before.
        seen: () => texts(sandbox.webhook.distinct(at).map(({ body }) => body)),
      };
    }
    case 'email': {
      const at = `ops-${n}@example.com`;
      return {
        service: 'smtp' as const,
        at,
        settings: { from: 'Tocsin <tocsin@example.com>', to: [at] },
        secrets: { smtpUrl: addresses.smtpUrl },
        seen: () => texts(sandbox.smtp.mailbox(at)),
      };
    }
    case 'pagerduty': {
      const at = randomBytes(16).toString('hex');
      return {
        service: 'pagerduty' as const,
        at,
        settings: { apiUrl: addresses.pagerdutyApiUrl },
        secrets: { routingKey: at },
        seen: () => texts(sandbox.pagerduty.alerts(at).filter(({ state }) => state !== 'resolved')),
      };
    }
  }
}
