import type { Fault, Sandbox } from '../../sandbox/index.ts';

const always = { times: Number.POSITIVE_INFINITY };

/** What every service does now and then. Each rule is drawn in turn, so that a later one's share is of what the earlier ones left. */
const everywhere: Fault[] = [
  { do: 'swallow', probability: 0.05, ...always },
  { do: 'failAfterApply', status: 500, probability: 0.02, ...always },
  { do: 'garble', body: 'truncated', probability: 0.005, ...always },
  { do: 'breakOff', probability: 0.005, ...always },
  { do: 'swallowStall', probability: 0.002, ...always },
  { do: 'rateLimit', retryAfter: 1, probability: 0.01, ...always },
  { do: 'slow', ms: 1_500, probability: 0.02, ...always },
  // What no service means: a wait of nothing, a page that no text can hold, a reply that fills a memory, and one without an end.
  { do: 'rateLimit', retryAfter: 0, probability: 0.01, ...always },
  {
    do: 'refuse',
    status: 429,
    headers: { 'retry-after': '1' },
    body: 'no\0\0 page\ud800',
    probability: 0.01,
    ...always,
  },
  { do: 'bomb', encoding: 'gzip', megabytes: 64, probability: 0.003, ...always },
  { do: 'drip', everyMs: 500, probability: 0.005, ...always },
  // Looks meet the same weather as sends.
  { do: 'drop', on: 'read', probability: 0.05, ...always },
  { do: 'failAfterApply', status: 503, on: 'read', probability: 0.02, ...always },
  { do: 'rateLimit', retryAfter: 1, on: 'read', probability: 0.01, ...always },
];

const cut = (probability: number): Fault => ({ do: 'drop', probability, ...always });

/**
 * @param patient whether there is time for sends that never arrived: only at the end of a service's horizon (Slack 60 s, Teams 180 s,
 *   Jira 300 s) may they be taken for absent
 */
export function breakWeather(sandbox: Sandbox, { patient }: { patient: boolean }): void {
  for (const service of ['slack', 'graph', 'jira'] as const) {
    sandbox.misbehave(service, ...everywhere, ...(patient ? [cut(0.005)] : []));
  }
  for (const service of ['pagerduty', 'webhook'] as const) sandbox.misbehave(service, ...everywhere, cut(0.02));
}
