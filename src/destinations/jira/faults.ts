import type { Fault } from '../../delivery/outcome.ts';
import { retryAfterMs } from '../retry-after.ts';
import type { Wire } from '../wire.ts';
import { JiraRefusal, problemsIn } from './client.ts';

/**
 * Which of Jira's limits was met, and who has to act on a refusal. The rest is the shared table's.
 * https://developer.atlassian.com/cloud/jira/platform/rate-limiting/
 */
export function classify(error: unknown, wire: Wire): Fault | undefined {
  if (!(error instanceof JiraRefusal)) return undefined;
  const { status, message, body } = error;
  const fault = { message, status, retryAfterMs: null };
  switch (status) {
    case 429: {
      const reason = wire.headers['ratelimit-reason'] ?? 'too_many_requests';
      // Of its three limits this one alone is about a single issue; the others hold for the account or the whole site.
      const limits = reason === 'jira-per-issue-on-write' ? 'message' : 'credential';
      return {
        ...fault,
        class: 'rate_limited',
        reason,
        limits,
        retryAfterMs: retryAfterMs(wire.headers['retry-after']),
      };
    }
    case 401:
      return { ...fault, class: 'permanent', reason: 'unauthorized', credential: true };
    case 403:
      return { ...fault, class: 'permanent', reason: 'forbidden', credential: true };
    case 404:
      // Jira answers so, too, where the account may not even see that there is something.
      return { ...fault, class: 'permanent', reason: 'not_found_or_hidden' };
    case 409:
      // Another writer was quicker: nothing of ours was applied.
      return { ...fault, class: 'transient', reason: 'edit_conflict' };
    case 413:
      return { ...fault, class: 'permanent', reason: 'issue_full' };
    case 400:
    case 422: {
      const [field] = Object.keys(problemsIn((body as { errors?: unknown } | null)?.errors));
      return { ...fault, class: 'permanent', reason: field === undefined ? 'invalid_request' : `invalid_${field}` };
    }
    default:
      return undefined;
  }
}
