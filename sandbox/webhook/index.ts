import { type Answer, append, type Call, type StandIn, text } from '../standin.ts';

export interface WebhookDelivery {
  at: Date;
  /** The webhook-id header, by which a receiver drops repeats; null without one. */
  id: string | null;
  method: string;
  headers: Record<string, string>;
  /** The bytes as they came, which is what a signature signs. */
  raw: Buffer;
  /** The parsed JSON; the text itself when it is none. */
  body: unknown;
}

export interface WebhookView {
  /** Everything this receiver took in, repeats included, oldest first. */
  deliveries: (name: string) => WebhookDelivery[];
  /** What is left once the receiver drops repeats: the first delivery of every webhook-id. */
  distinct: (name: string) => WebhookDelivery[];
}

export function createWebhook(): { standIn: StandIn; view: WebhookView } {
  const receivers = new Map<string, WebhookDelivery[]>();
  const deliveries = (name: string) => [...(receivers.get(name) ?? [])];
  const view: WebhookView = {
    deliveries,
    distinct(name) {
      const seen = new Set<string>();
      return deliveries(name).filter(({ id }) => id === null || (!seen.has(id) && seen.add(id)));
    },
  };

  const take = (name: string, call: Call): Answer => {
    if (name === '') return no(404, 'Name a receiver: /webhooks/NAME');
    if (call.method === 'GET') return { status: 200, body: { deliveries: deliveries(name).map(readable) } };
    const headers = Object.fromEntries(Object.entries(call.headers).map(([header, value]) => [header, String(value)]));
    const id = text(call.headers['webhook-id']) ?? null;
    const delivery = { at: new Date(), id, method: call.method, headers, raw: call.raw, body: call.body };
    append(receivers, name, delivery);
    return { status: 200, body: { ok: true } };
  };
  const standIn: StandIn = {
    service: 'webhook',
    prefix: '/webhooks/',
    plan(call) {
      const name = call.segments[0] ?? '';
      return { places: name === '' ? [] : [name], writes: call.method !== 'GET', apply: () => take(name, call) };
    },
    refusal: (status) => no(status, `The receiver answered ${status}.`),
    limited: () => no(429, 'Too many requests.'),
    error: (code) => no(400, code),
    state: () => Object.fromEntries([...receivers].map(([name, each]) => [name, each.map(readable)])),
    reset: () => receivers.clear(),
  };
  return { standIn, view };
}

function readable({ raw, ...delivery }: WebhookDelivery): object {
  return { ...delivery, raw: raw.toString('utf8') };
}

function no(status: number, error: string): Answer {
  return { status, body: { ok: false, error } };
}
