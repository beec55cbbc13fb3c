import type { Severity } from '../message.ts';
import type { Notice } from './adapter.ts';
import { trimChars } from './trim.ts';

/** Tells severities apart also for those who see no colours, and where two share one. */
export const signs: Record<Severity, string> = { critical: '🔴', error: '🟠', warning: '🟡', info: '🔵' };

/** What stands small below a message: which incident, since when, and by what to ask Tocsin for it. */
export function imprint({
  topic,
  createdAt,
  broadcastId,
}: Pick<Notice, 'topic' | 'createdAt' | 'broadcastId'>): string[] {
  const since = `${createdAt.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  return [...(topic ? [trimChars(topic.replace(/\s+/g, ' '), 100)] : []), since, broadcastId];
}
