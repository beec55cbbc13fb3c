import type { Client, SendRequestOptions } from 'jira.js/core';
import { textFrom } from '../foreign.ts';
import type { Reach } from './settings.ts';

/** Jira's answer when it is not a success, with the headers that jira.js drops. */
export class JiraRefusal extends Error {
  readonly status: number;
  readonly body: unknown;
  constructor(status: number, body: unknown) {
    super(`Jira answered ${status}${sentences(body)}`);
    this.name = 'JiraRefusal';
    this.status = status;
    this.body = body;
  }
}

/**
 * A transport for jira.js that sends each request exactly once and can be aborted; its own does neither. What Jira answers is handed
 * on as it is, or not at all: jira.js resolves with a string where a body was cut short.
 */
export function jiraClient({ settings, secrets, fetch, signal }: Reach): Client {
  const credential = Buffer.from(`${secrets.email}:${secrets.apiToken}`).toString('base64');
  return {
    async sendRequest<T>({ url, method = 'GET', headers, body, searchParams }: SendRequestOptions<T>): Promise<T> {
      const response = await fetch(`${settings.apiUrl.replace(/\/+$/, '')}${url}${query(searchParams)}`, {
        method,
        headers: {
          accept: 'application/json',
          authorization: `Basic ${credential}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal,
      });
      const text = await response.text();
      if (!response.ok) throw new JiraRefusal(response.status, parsed(text));
      if (response.status === 204) return undefined as T;
      return JSON.parse(text) as T;
    },
  };
}

export function isGone(error: unknown): boolean {
  return error instanceof JiraRefusal && error.status === 404;
}

function query(searchParams: Record<string, unknown> = {}): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(searchParams)) {
    if (value === undefined || value === null) continue;
    for (const each of Array.isArray(value) ? value : [value]) params.append(name, String(each));
  }
  return params.size > 0 ? `?${params}` : '';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Of more sentences than these nothing is ever shown. */
const sentencesAtMost = 20;

/** https://developer.atlassian.com/cloud/jira/platform/rest/v3/intro/#status-codes */
function sentences(body: unknown): string {
  const { errorMessages, errors } = (body ?? {}) as { errorMessages?: unknown; errors?: unknown };
  const said = Array.isArray(errorMessages) ? errorMessages.slice(0, sentencesAtMost).map(textFrom) : [];
  // A text has entries too: one for each character.
  const fields = typeof errors === 'object' && errors !== null ? Object.entries(errors) : [];
  for (const [field, problem] of fields.slice(0, sentencesAtMost)) said.push(`${field}: ${textFrom(problem)}`);
  return said.length > 0 ? `: ${said.join(' ')}` : '.';
}
