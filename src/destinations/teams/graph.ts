import { Client, type Context, GraphError } from '@microsoft/microsoft-graph-client';
import { FaultError } from '../adapter.ts';
import type { Reach } from './settings.ts';
import { access, discard } from './token.ts';

/**
 * Runs `run` with a Graph client that sends each request exactly once. The SDK's own chain repeats a POST on 429, 503 and 504, which
 * posts twice when the first one had landed, and drops the Authorization header on hosts other than Graph's.
 * Throws a FaultError for tokens, the transport's own error where there was no answer, else the SDK's GraphError.
 */
export async function graph<T>(reach: Reach, run: (client: Client) => Promise<T>): Promise<T> {
  const { token, fresh } = await access(reach);
  let failure: unknown;
  let status: number | null = null;

  const send = async (context: Context) => {
    const { method, headers, body } = context.options ?? {};
    const authorized = { ...(headers as Record<string, string>), authorization: `Bearer ${token}` };
    try {
      const response = await reach.fetch(context.request as string, {
        method,
        headers: authorized,
        body,
        signal: reach.signal,
      });
      status = response.status;
      // Read here, where a body that breaks off is still told apart from one that makes no sense.
      const text = await response.text();
      const empty = response.status === 204 || response.status === 304;
      context.response = new Response(empty ? null : text, { status: response.status, headers: response.headers });
    } catch (error) {
      failure = error;
      throw error;
    }
  };

  const { base, version } = rootOf(reach.settings.apiUrl);
  const client = Client.initWithMiddleware({ baseUrl: base, defaultVersion: version, middleware: { execute: send } });
  try {
    return await run(client);
  } catch (error) {
    if (status === 401 && !fresh) {
      discard(reach, token);
      const message = 'The access token was refused before its time; the next attempt gets a new one.';
      throw new FaultError({ class: 'transient', reason: 'token_refused', message, status, retryAfterMs: null });
    }
    // The SDK keeps neither the error nor its cause: all that is left of them is a name.
    throw failure ?? error;
  }
}

export function isGone(error: unknown): boolean {
  return error instanceof GraphError && error.statusCode === 404;
}

export function isForbidden(error: unknown): boolean {
  return error instanceof GraphError && error.statusCode === 403;
}

/** The SDK wants host and version apart. */
function rootOf(apiUrl: string): { base: string; version: string } {
  const [, base = '', version = ''] = /^(.*?)\/([^/]+)\/*$/.exec(apiUrl) ?? [];
  return { base: `${base}/`, version };
}
