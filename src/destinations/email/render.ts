import type { Severity } from '../../message.ts';
import type { Notice } from '../adapter.ts';
import { escapeHtml, toHtml } from '../markdown/html.ts';

export interface EmailPayload {
  subject: string;
  html: string;
  text: string;
}

const colours: Record<Severity, string> = {
  critical: '#b3261e',
  error: '#c4501b',
  warning: '#b07d00',
  info: '#2f5fb3',
};

export function render(notice: Notice): EmailPayload {
  const { message, retracted } = notice;
  const label = retracted ? 'RETRACTED' : message.severity.toUpperCase();
  return {
    // A new line would end the header; blanks at its ends are lost in any case.
    subject: `[${label}] ${message.title}`.replace(/\s+/g, ' ').trim(),
    html: html(notice, label),
    text: text(notice, label),
  };
}

function linksOf({ message, crossLinks }: Notice) {
  return [...(message.links ?? []), ...crossLinks];
}

function text(notice: Notice, label: string): string {
  const { message, topic } = notice;
  const parts = [`${label}: ${message.title}`];
  // CommonMark was made to be read as it is.
  if (message.body?.trim()) parts.push(message.body.trim());
  if (message.fields?.length) parts.push(message.fields.map(({ name, value }) => `${name}: ${value}`).join('\n'));
  const links = linksOf(notice);
  if (links.length > 0) parts.push(links.map(({ text, url }) => `${text}: ${url}`).join('\n'));
  parts.push(`-- \n${[topic, notice.createdAt.toISOString(), notice.broadcastId].filter(Boolean).join(' · ')}`);
  return `${parts.join('\n\n')}\n`;
}

function html(notice: Notice, label: string): string {
  const { message, retracted, topic } = notice;
  const title = retracted ? `<s>${escapeHtml(message.title)}</s>` : escapeHtml(message.title);
  const body = message.body?.trim() ? `<div>${toHtml(message.body)}</div>` : '';
  const rows = (message.fields ?? []).map(
    ({ name, value }) =>
      `<tr><th align="left" valign="top" style="padding:2px 12px 2px 0">${escapeHtml(name)}</th>` +
      `<td style="padding:2px 0;white-space:pre-wrap">${escapeHtml(value)}</td></tr>`,
  );
  const items = linksOf(notice).map(({ text, url }) => `<li><a href="${escapeHtml(url)}">${escapeHtml(text)}</a></li>`);
  const footer = [topic ?? '', notice.createdAt.toISOString(), notice.broadcastId].filter(Boolean).map(escapeHtml);
  return [
    '<!doctype html><html><head><meta charset="utf-8"></head>',
    '<body style="font-family:system-ui,sans-serif;font-size:15px;line-height:1.45">',
    `<div style="border-left:4px solid ${retracted ? '#777' : colours[message.severity]};padding:4px 0 4px 14px">`,
    `<div style="font-size:12px;color:#555">${label}</div><h2 style="margin:2px 0 0">${title}</h2></div>`,
    retracted && body ? `<s>${body}</s>` : body,
    rows.length > 0 ? `<table style="border-collapse:collapse;margin:12px 0">${rows.join('')}</table>` : '',
    items.length > 0 ? `<ul>${items.join('')}</ul>` : '',
    `<p style="font-size:12px;color:#777">${footer.join(' · ')}</p></body></html>`,
  ].join('\n');
}
