import { randomUUID } from 'node:crypto';
import { type Answer, type Call, type Fields, fields, isFields, list, type StandIn, text } from '../standin.ts';

export interface PagerDutyAlert {
  routingKey: string;
  dedupKey: string;
  state: 'triggered' | 'acknowledged' | 'resolved';
  /** How many trigger events it took in; people were called once. */
  triggers: number;
  /** Of the latest trigger. */
  payload: Fields;
  links: unknown[];
  openedAt: Date;
  resolvedAt: Date | null;
}

export interface PagerDutyView {
  /** Every alert there ever was, oldest first; a trigger after a resolve opens another one under the same key. */
  alerts: (routingKey?: string) => PagerDutyAlert[];
  /** The latest alert under this key. */
  alert: (dedupKey: string) => PagerDutyAlert | undefined;
}

const SEVERITIES = ['critical', 'error', 'warning', 'info'];
const LARGEST_BYTES = 512_000;

export function createPagerDuty(): { standIn: StandIn; view: PagerDutyView } {
  let alerts: PagerDutyAlert[] = [];
  const view: PagerDutyView = {
    alerts: (routingKey) =>
      structuredClone(alerts.filter((alert) => routingKey === undefined || alert.routingKey === routingKey)),
    alert: (dedupKey) => structuredClone(alerts.findLast((alert) => alert.dedupKey === dedupKey)),
  };

  const enqueue = (call: Call): Answer => {
    if (call.segments.join('/') !== 'v2/enqueue' || call.method !== 'POST')
      return no(404, ['Not found: POST /v2/enqueue']);
    const event = fields(call.body);
    const errors = wrongEvent(event, call);
    if (errors.length > 0) return no(400, errors);
    const routingKey = String(event.routing_key);
    const dedupKey = text(event.dedup_key) || randomUUID().replaceAll('-', '');
    const mine = (alert: PagerDutyAlert) => alert.routingKey === routingKey && alert.dedupKey === dedupKey;
    const open = alerts.find((alert) => mine(alert) && alert.state !== 'resolved');
    if (event.event_action === 'trigger') {
      const now = { payload: fields(event.payload), links: list(event.links) };
      if (open !== undefined) Object.assign(open, now, { triggers: open.triggers + 1 });
      else {
        const state = 'triggered' as const;
        alerts.push({ routingKey, dedupKey, state, triggers: 1, ...now, openedAt: new Date(), resolvedAt: null });
      }
    } else if (open !== undefined && event.event_action === 'acknowledge') open.state = 'acknowledged';
    else if (open !== undefined) Object.assign(open, { state: 'resolved', resolvedAt: new Date() });
    return { status: 202, body: { status: 'success', message: 'Event processed', dedup_key: dedupKey } };
  };
  const standIn: StandIn = {
    service: 'pagerduty',
    prefix: '/pagerduty/',
    plan(call) {
      const { routing_key, dedup_key } = fields(call.body);
      const places = [text(routing_key), text(dedup_key)].filter((place) => place !== undefined);
      return { places, writes: true, apply: () => enqueue(call) };
    },
    refusal: (status) => no(status, [`The service answered ${status}.`]),
    limited: () => ({
      status: 429,
      body: { status: 'throttle exceeded', message: 'Requests are arriving too quickly.' },
    }),
    error: (code) => no(400, [code]),
    state: () => alerts,
    reset() {
      alerts = [];
    },
  };
  return { standIn, view };
}

function wrongEvent(event: Fields, call: Call): string[] {
  if (!isFields(call.body)) return ['The event must be a JSON object'];
  if (call.raw.length > LARGEST_BYTES) return ['The event is larger than 512 KB'];
  const wrong: string[] = [];
  const routingKey = text(event.routing_key) ?? '';
  const dedupKey = text(event.dedup_key) ?? '';
  const action = text(event.event_action) ?? '';
  if (routingKey === '' || routingKey.startsWith('bad')) wrong.push("'routing_key' is missing or invalid");
  if (dedupKey.length > 255) wrong.push("'dedup_key' must be at most 255 characters");
  if (!['trigger', 'acknowledge', 'resolve'].includes(action)) {
    wrong.push("'event_action' must be one of trigger, acknowledge, resolve");
  } else if (action !== 'trigger') {
    if (dedupKey === '') wrong.push(`'dedup_key' is missing or blank, and '${action}' needs it`);
  } else {
    const payload = fields(event.payload);
    const summary = text(payload.summary) ?? '';
    if (summary === '') wrong.push("'payload.summary' is missing or blank");
    if (summary.length > 1024) wrong.push("'payload.summary' must be at most 1024 characters");
    if (!text(payload.source)) wrong.push("'payload.source' is missing or blank");
    if (!SEVERITIES.includes(text(payload.severity) ?? '')) {
      wrong.push("'payload.severity' must be one of critical, error, warning, info");
    }
  }
  return wrong;
}

function no(status: number, errors: string[]): Answer {
  return { status, body: { status: 'invalid event', message: 'Event object is invalid', errors } };
}
