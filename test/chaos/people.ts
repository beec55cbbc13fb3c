import type { Recorded, Sandbox } from '../../sandbox/index.ts';
import { numberIn } from './load.ts';
import {
  callbackReceiver,
  jiraProject,
  type Kind,
  kinds,
  nameOf,
  routingKey,
  slackChannel,
  teamsChannel,
} from './places.ts';

/** What people saw: of each kind and broadcast, the copies that are there. */
export interface Seen {
  copies: Record<Kind, Map<number, string[]>>;
  /** The broadcasts of which each service heard at all, even if it did nothing. */
  heard: Record<Kind, ReadonlySet<number | null>>;
  /** The distinct events that the callback's receiver took in, by their webhook-id. */
  callbacks: Map<number, string[]>;
  /** Repetitions under the same webhook-id or dedup_key, which their receivers are told to drop. */
  repeated: Record<'webhook' | 'pagerduty' | 'callback', number>;
}

/**
 * Counts copies by the title that people read, not by our own marks: that also finds a copy whose mark was lost, and one broadcast
 * that was recorded twice.
 */
export function look(sandbox: Sandbox, places: number): Seen {
  const copies = Object.fromEntries(kinds.map((kind) => [kind, new Map()])) as Seen['copies'];
  const callbacks = new Map<number, string[]>();
  for (let place = 0; place < places; place += 1) {
    for (const message of sandbox.slack.channel(slackChannel(place))) note(copies.slack, message, message.ts);
    const { teamId, channelId } = teamsChannel(place);
    for (const { replies, ...post } of sandbox.graph.channel(teamId, channelId)) {
      for (const message of [post, ...replies]) note(copies.teams, message, message.id);
    }
    for (const { comments, ...issue } of sandbox.jira.issues(jiraProject(place))) {
      note(copies.jira, issue, issue.key);
      for (const comment of comments) note(copies.jira, comment, `${issue.key}#${comment.id}`);
    }
    for (const { id, body } of sandbox.webhook.distinct(nameOf('webhook', place)))
      note(copies.webhook, body, String(id));
  }
  for (const { id, body } of sandbox.webhook.distinct(callbackReceiver)) note(callbacks, body, String(id));

  const triggers = sandbox
    .requests('pagerduty')
    .filter(wasApplied)
    .map(({ body }) => body as { dedup_key: string });
  for (const event of triggers) note(copies.pagerduty, event, event.dedup_key);
  const alerts = Array.from({ length: places }, (_, place) => sandbox.pagerduty.alerts(routingKey(place))).flat();
  for (const alert of alerts) {
    // A second alert under one key calls people a second time.
    const again = alerts.filter(({ dedupKey }) => dedupKey === alert.dedupKey).indexOf(alert);
    if (again > 0) note(copies.pagerduty, alert.payload, `${alert.dedupKey} again (${again})`);
  }
  const webhooks = Array.from({ length: places }, (_, place) => nameOf('webhook', place));
  return {
    copies,
    heard: Object.fromEntries(
      kinds.map((kind) => {
        const requests = sandbox.requests(kind === 'teams' ? 'graph' : kind);
        return [kind, new Set(requests.map(({ body }) => numberIn(body)))];
      }),
    ) as unknown as Seen['heard'],
    callbacks,
    repeated: {
      webhook: sum(webhooks.map((name) => surplus(sandbox, name))),
      pagerduty: triggers.length - sum([...copies.pagerduty.values()].map((keys) => keys.length)),
      callback: surplus(sandbox, callbackReceiver),
    },
  };
}

function note(into: Map<number, string[]>, copy: unknown, identity: string): void {
  const n = numberIn(copy);
  if (n === null) return;
  const known = into.get(n) ?? [];
  if (!known.includes(identity)) into.set(n, [...known, identity]);
}

function wasApplied({ fault }: Recorded): boolean {
  return fault === null || !['refuse', 'rateLimit', 'error', 'drop', 'stall'].includes(fault);
}

function surplus({ webhook }: Sandbox, name: string): number {
  return webhook.deliveries(name).length - webhook.distinct(name).length;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
