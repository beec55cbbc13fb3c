import type { Target } from './target.ts';

type Api = Pick<Target, 'api'>;

export const httpKinds = ['slack', 'teams', 'teams-workflow', 'jira', 'pagerduty', 'webhook'] as const;
export type HttpKind = (typeof httpKinds)[number];

/** Everything that must never be told by anybody. */
export const credentials = {
  slack: 'xoxb-attack-7c1f0b2a9d',
  teams: 'static-attack-5e3d8c7b1a',
  jira: 'jira-attack-token-9f8e7d',
  pagerduty: 'a77ac4pagerdutykey0123456789abcd',
  mail: 'mail-attack-password-4b2c',
};
const mailUser = 'ops';
export const jiraUser = 'bot@lab.example';

/** What a service can make of what it was sent: the credential as it stands, and in the forms in which it travels. */
export const disguises: readonly string[] = [
  ...Object.values(credentials),
  base64(`${jiraUser}:${credentials.jira}`),
  base64(`${mailUser}:${credentials.mail}`),
  base64(`\0${mailUser}\0${credentials.mail}`),
  base64(credentials.mail),
];

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

/** A destination's body for `PUT /destinations/{name}`, which points at `url`. */
export function destinationAt(kind: HttpKind, url: string, more: object = {}): object {
  const policy = { maxAttempts: 1, ...more };
  switch (kind) {
    case 'slack':
      return {
        kind,
        policy,
        settings: { channel: 'C0ATTACK', apiUrl: `${url}/api/` },
        secrets: { token: credentials.slack },
      };
    case 'teams':
      return {
        kind,
        policy,
        settings: { teamId: 'team', channelId: 'channel', apiUrl: `${url}/v1.0/` },
        secrets: { accessToken: credentials.teams },
      };
    case 'teams-workflow':
      return { kind, policy, settings: {}, secrets: { url: `${url}/flow?sig=workflow-signature-1a2b` } };
    case 'jira':
      return {
        kind,
        policy,
        settings: { apiUrl: url, projectKey: 'OPS', issueType: 'Task' },
        secrets: { email: jiraUser, apiToken: credentials.jira },
      };
    case 'pagerduty':
      return { kind, policy, settings: { apiUrl: `${url}/` }, secrets: { routingKey: credentials.pagerduty } };
    case 'webhook':
      return { kind, policy, settings: { url: `${url}/hook` }, secrets: {} };
  }
}

export function mailAt(port: number, host = '127.0.0.1', login = true): object {
  const user = login ? `${mailUser}:${credentials.mail}@` : '';
  return {
    kind: 'email',
    policy: { maxAttempts: 1 },
    settings: { from: 'tocsin@lab.example', to: ['ops@lab.example'] },
    secrets: { smtpUrl: `smtp://${user}${host}:${port}` },
  };
}

/** Makes destinations; throws when one is refused. */
export async function make({ api }: Api, bodies: Record<string, object>): Promise<void> {
  const left = Object.entries(bodies);
  const one = async () => {
    for (let next = left.pop(); next; next = left.pop()) {
      const [name, body] = next;
      const { status, body: said } = await api('PUT', `/destinations/${name}`, body);
      if (status >= 300) throw new Error(`${name} was not made: ${status} ${JSON.stringify(said).slice(0, 300)}`);
    }
  };
  await Promise.all([one(), one(), one(), one()]);
}

export async function send(
  { api }: Api,
  destinations: readonly string[],
  message: object = {},
  more: object = {},
): Promise<string> {
  const body = { message: { title: 'attack', ...message }, destinations, ...more };
  const { status, body: said } = await api('POST', '/broadcasts', body);
  if (status !== 202) throw new Error(`a broadcast was answered ${status}: ${JSON.stringify(said).slice(0, 300)}`);
  return said.id as string;
}
