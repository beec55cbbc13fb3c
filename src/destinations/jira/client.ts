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
  const fields = Object.entries(problemsIn(errors)).slice(0, sentencesAtMost);
  for (const [field, problem] of fields) said.push(`${field}: ${textFrom(problem)}`);
  return said.length > 0 ? `: ${said.join(' ')}` : '.';
}

/** What Jira says of each field. A text or a list in its place has entries too, as many as it is long, and is none. */
export function problemsIn(errors: unknown): object {
  return errors !== null && typeof errors === 'object' && !Array.isArray(errors) ? errors : {};
}
