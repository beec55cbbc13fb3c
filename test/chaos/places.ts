import type { Parts } from './parts.ts';

export const kinds = ['slack', 'teams', 'jira', 'pagerduty', 'webhook'] as const;
export type Kind = (typeof kinds)[number];

/** Where the converged callbacks go. */
export const callbackReceiver = 'callbacks';

/**
 * How many places there are of each kind. A look reads so far back in a place: 150 messages at Slack, 250 at Teams and Jira. Places
 * that are busier than that cannot be verified, which is a limit of theirs and not what this run is about.
 */
export function placesFor(broadcasts: number): number {
  return Math.min(9, Math.max(2, Math.ceil(broadcasts / 120)));
}

export const nameOf = (kind: Kind, place: number) => `${kind}-${place}`;
export const slackChannel = (place: number) => `C0CHAOS${place}`;
export const teamsChannel = (place: number) => ({ teamId: 'team', channelId: `channel-${place}` });
export const jiraProject = (place: number) => `CHAOS${String.fromCharCode(65 + place)}`;
export const routingKey = (place: number) => `chaos${place}`.padEnd(32, '0');

/** Makes the destinations, as an operator would: through the API, with every policy at its default. */
export async function configure({ apis, apiKey, sandbox }: Parts, places: number): Promise<void> {
  const { addresses } = sandbox;
  const destination = (kind: Kind, place: number) => {
    switch (kind) {
      case 'slack':
        return {
          settings: { channel: slackChannel(place), apiUrl: addresses.slackApiUrl },
          secrets: { token: 'xoxb-chaos' },
        };
      case 'teams':
        return {
          settings: { ...teamsChannel(place), apiUrl: addresses.graphApiUrl },
          secrets: { accessToken: 'static-chaos' },
        };
      case 'jira':
        return {
          settings: { apiUrl: addresses.jiraApiUrl, projectKey: jiraProject(place), issueType: 'Task' },
          secrets: { email: 'chaos@example.com', apiToken: 'chaos' },
        };
      case 'pagerduty':
        return { settings: { apiUrl: addresses.pagerdutyApiUrl }, secrets: { routingKey: routingKey(place) } };
      case 'webhook':
        return {
          settings: { url: addresses.webhookUrl(nameOf(kind, place)) },
          secrets: { signingSecret: `whsec_${Buffer.alloc(32, place).toString('base64')}` },
        };
    }
  };
  for (const kind of kinds) {
    for (let place = 0; place < places; place += 1) {
      const response = await fetch(`${apis[0]?.url}/destinations/${nameOf(kind, place)}`, {
        method: 'PUT',
        headers: { authorization: `Bearer ${apiKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ kind, ...destination(kind, place) }),
      });
      if (!response.ok) throw new Error(`${kind} was not configured: ${response.status} ${await response.text()}`);
    }
  }
}
