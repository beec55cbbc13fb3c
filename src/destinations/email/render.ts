import type { Root } from 'mdast';
import type { Severity } from '../../message.ts';
import type { Notice, Said } from '../adapter.ts';
import { imprint } from '../imprint.ts';
import { escapeHtml, toHtml } from '../markdown/html.ts';
import type { Settings } from './settings.ts';

export interface EmailPayload {
  from: string;
  to: string[];
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

/** A message but for its last line. */
export type EmailContent = Pick<EmailPayload, 'subject' | 'html' | 'text'>;

export function compose(said: Said, body: Root): EmailContent {
  const { message, retracted } = said;
  const label = retracted ? 'RETRACTED' : message.severity.toUpperCase();
  return {
    // A new line would end the header; blanks at its ends are lost in any case.
    subject: `[${label}] ${message.title}`.replace(/\s+/g, ' ').trim(),
    html: html(said, body, label),
    text: text(said, label),
  };
}

export function render(notice: Notice, { from, to }: Settings, { subject, html, text }: EmailContent): EmailPayload {
  const small = [...imprint(notice), notice.correlationId];
  return {
    from,
    to,
    subject,
    html: `${html}\n<p style="font-size:12px;color:#6e7781">${small.map(escapeHtml).join(' · ')}</p></div></body></html>`,
    text: `${text}\n\n-- \n${small.join(' · ')}`,
  };
}

function linksOf({ message, crossLinks }: Said) {
  return [...(message.links ?? []), ...crossLinks];
}

/** Mail programs that show no style sheets leave these parts plain, which reads well enough. */
const styleSheet = `
body { margin: 0; padding: 16px; font-family: system-ui, -apple-system, 'Segoe UI', sans-serif; font-size: 15px; line-height: 1.5; color: #1f2328; }
.message { max-width: 680px; overflow-wrap: break-word; }
pre { background: #f4f5f7; padding: 10px 12px; border-radius: 4px; white-space: pre-wrap; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: 13px; }
blockquote { margin: 12px 0; padding: 0 12px; border-left: 3px solid #d0d7de; color: #57606a; }
.body h1, .body h2, .body h3 { font-size: 17px; margin: 18px 0 6px; }
.body table { border-collapse: collapse; }
.body th, .body td { border: 1px solid #d0d7de; padding: 4px 10px; }
`;

function text(said: Said, label: string): string {
  const { message } = said;
  const parts = [`${label}: ${message.title}`];
  // CommonMark was made to be read as it is.
  if (message.body?.trim()) parts.push(message.body.trim());
  if (message.fields?.length) parts.push(message.fields.map(({ name, value }) => `${name}: ${value}`).join('\n'));
  const links = linksOf(said);
  if (links.length > 0) parts.push(links.map(({ text, url }) => `${text}: ${url}`).join('\n'));
  return parts.join('\n\n');
}

function html(said: Said, tree: Root, label: string): string {
  const { message, retracted } = said;
  const colour = retracted ? '#777777' : colours[message.severity];
  const title = retracted ? `<s>${escapeHtml(message.title)}</s>` : escapeHtml(message.title);
  const body = message.body?.trim() ? toHtml(tree) : '';
  const rows = (message.fields ?? []).map(
    ({ name, value }) =>
      `<tr><th align="left" valign="top" style="padding:3px 16px 3px 0;color:#57606a;font-weight:600">${escapeHtml(name)}</th>` +
      `<td dir="auto" style="padding:3px 0;white-space:pre-wrap">${escapeHtml(value)}</td></tr>`,
  );
  const items = linksOf(said).map(({ text, url }) => `<a href="${escapeHtml(url)}">${escapeHtml(text)}</a>`);
  return [
    `<!doctype html><html><head><meta charset="utf-8"><style>${styleSheet}</style></head><body><div class="message">`,
    `<div style="border-left:5px solid ${colour};padding:2px 0 2px 14px">`,
    `<div style="font-size:12px;font-weight:700;letter-spacing:.05em;color:${colour}">${label}</div>`,
    `<div dir="auto" style="font-size:21px;font-weight:700;line-height:1.3">${title}</div></div>`,
    body ? `<div class="body" dir="auto">${retracted ? `<s>${body}</s>` : body}</div>` : '',
    rows.length > 0 ? `<table style="border-collapse:collapse;margin:14px 0">${rows.join('')}</table>` : '',
    items.length > 0 ? `<p>${items.join(' &nbsp;·&nbsp; ')}</p>` : '',
  ].join('\n');
}
