import { createHash } from 'node:crypto';
import type { Severity } from '../../message.ts';
import type { Notice, Said } from '../adapter.ts';
import { fitting, jsonBytes } from '../fitting.ts';
import { trimBytes, trimChars } from '../trim.ts';

const summaryLimit = 1024;

/** 512 KB in all, of which some stay for what is added when it is sent. */
const limitBytes = 500_000;

const dedupKeyLimit = 255;

export interface PagerDutyEvent {
  event_action: 'trigger' | 'resolve';
  dedup_key: string;
  payload: {
    summary: string;
    source: string;
    severity: Severity;
    timestamp: string;
    custom_details: Record<string, unknown>;
  };
  links: { href: string; text: string }[];
  client: string;
}

/** What of an event every delivery of a message shares. */
export interface PagerDutyContent {
  summary: string;
  details: Record<string, unknown>;
}

export function compose(said: Said): PagerDutyContent {
  const { message, retracted } = said;
  const summary = `${retracted ? 'Retracted: ' : ''}${message.title}`;
  const linkBytes = jsonBytes([...(message.links ?? []), ...said.crossLinks]);
  const details = fitting(limitBytes - linkBytes, jsonBytes, (room) => ({
    ...(message.body ? { body: trimBytes(message.body, Math.floor(32 * 1024 * room)) } : {}),
    ...(message.fields?.length ? { fields: fieldsOf(said, room) } : {}),
  }));
  return { summary: trimChars(summary, summaryLimit).trim() || 'Untitled', details };
}

/** https://developer.pagerduty.com/docs/send-alert-event */
export function render(notice: Notice, _settings: unknown, { summary, details }: PagerDutyContent): PagerDutyEvent {
  const { message, retracted, crossLinks } = notice;
  return {
    event_action: retracted ? 'resolve' : 'trigger',
    dedup_key: dedupKey(notice),
    payload: {
      summary,
      source: 'tocsin',
      severity: message.severity,
      timestamp: notice.createdAt.toISOString(),
      custom_details: {
        ...details,
        broadcast: notice.broadcastId,
        revision: notice.revision,
        ...(notice.topic ? { topic: notice.topic } : {}),
        correlation_id: notice.correlationId,
      },
    },
    links: [...(message.links ?? []), ...crossLinks].map(({ text, url }) => ({ href: url, text })),
    client: 'Tocsin',
  };
}

/** A list, because two fields may have the same name. */
function fieldsOf({ message }: Said, room: number): { name: string; value: string }[] {
  return (message.fields ?? []).map(({ name, value }) => ({
    name: trimChars(name, Math.max(24, Math.floor(256 * room))),
    value: trimChars(value, Math.max(24, Math.floor(2048 * room))),
  }));
}

/**
 * One incident per topic: what follows in it is appended to the open incident instead of calling people again. Without a topic each
 * delivery has an incident of its own.
 */
function dedupKey({ topic, key }: Notice): string {
  const whole = `tocsin:${topic ?? key}`;
  if (whole.length <= dedupKeyLimit) return whole;
  return `tocsin:sha256:${createHash('sha256').update(whole).digest('hex')}`;
}
