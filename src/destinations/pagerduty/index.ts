import { z } from 'zod';
import { type Call, defineAdapter } from '../adapter.ts';
import { ReceiptText, ReceiptTime } from '../receipt.ts';
import { below, ServiceUrl } from '../service-url.ts';
import { refusal } from './faults.ts';
import { compose, type PagerDutyContent, type PagerDutyEvent, render } from './render.ts';

const routingKeyLength = 32;

const Settings = z.strictObject({
  apiUrl: ServiceUrl.default('https://events.pagerduty.com/').describe('Europe: https://events.eu.pagerduty.com/'),
});

const Secrets = z.strictObject({
  routingKey: z.string().regex(/^\S{1,128}$/, 'must be the integration key of an Events API v2 integration'),
});

const Receipt = z.object({ at: ReceiptTime, url: z.null(), dedupKey: ReceiptText });

type Settings = z.infer<typeof Settings>;
type Secrets = z.infer<typeof Secrets>;
type Receipt = z.infer<typeof Receipt>;

/** PagerDuty's Events API v2, the only one of the services that documents idempotency: by `dedup_key`, while the incident is open. */
export const pagerduty = defineAdapter<Settings, Secrets, Receipt, PagerDutyEvent, PagerDutyContent>({
  kind: 'pagerduty',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  repeatable: ['deliver', 'revise', 'retract'],
  compose,
  render,
  // The topic is in the dedup_key already, so that what follows in it needs no reply of its own.
  deliver: enqueue,
  revise: enqueue,
  retract: (call, event) => enqueue(call, { ...event, event_action: 'resolve' }),

  credentialAdvice: "Copy the integration key from the service's integration Events API v2.",
  async check({ secrets }) {
    const ok = new RegExp(`^[A-Za-z0-9]{${routingKeyLength}}$`).test(secrets.routingKey);
    const detail = ok
      ? 'The routing key looks like one. PagerDuty has no way to try it without sending an event.'
      : `A routing key has ${routingKeyLength} letters and digits: this looks like something else.`;
    return [{ name: 'routing key', ok, detail }];
  },

  budget: (_settings, { routingKey }) => `pagerduty ${routingKey}`,
});

const Accepted = z.object({ status: z.literal('success') });

async function enqueue(call: Call<Settings, Secrets, Receipt>, rendered: PagerDutyEvent): Promise<Receipt> {
  const event: PagerDutyEvent = {
    ...rendered,
    // What follows in a topic shares the incident of its first message, which must not end with it.
    event_action: call.root ? 'trigger' : rendered.event_action,
    dedup_key: call.receipt?.dedupKey ?? rendered.dedup_key,
  };
  const response = await call.fetch(below(call.settings.apiUrl, 'v2/enqueue'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ routing_key: call.secrets.routingKey, ...event }),
    signal: call.signal,
  });
  const body = await response.text();
  if (!response.ok) throw refusal(response.status, body) ?? new Error(`PagerDuty answered ${response.status}.`);
  // Something between us and PagerDuty may say yes as well; asking again under the same key does no harm.
  Accepted.parse(JSON.parse(body));
  return { at: new Date().toISOString(), url: null, dedupKey: event.dedup_key };
}
