import type { Fault } from '../../delivery/outcome.ts';
import { FaultError } from '../adapter.ts';

const codes: Record<string, string> = {
  WorkflowNotFound: 'The flow was deleted, or its URL was replaced.',
  WorkflowTriggerIsNotEnabled: 'The flow is turned off.',
  DirectApiAuthorizationRequired: 'The URL has lost its signature, or the trigger accepts only users of its tenant.',
};

/**
 * The refusal of a flow's trigger in its own word; null where there is none to read, and the shared table says as much.
 * https://learn.microsoft.com/en-us/azure/logic-apps/logic-apps-securing-a-logic-app
 */
export function refusal(status: number, body: string): FaultError | null {
  const { code, message } = errorIn(body);
  if (!code || status < 400 || status >= 500 || [408, 425, 429].includes(status)) return null;
  const fault: Fault = {
    class: 'permanent',
    reason: code,
    message: codes[code] ?? message ?? code,
    status,
    retryAfterMs: null,
    // The URL is the credential: a flow that is gone or off refuses everything else as well.
    ...([401, 403].includes(status) || code in codes ? { credential: true } : {}),
  };
  return new FaultError(fault);
}

function errorIn(body: string): { code?: string; message?: string } {
  try {
    const { code, message } = JSON.parse(body)?.error ?? {};
    return { ...(typeof code === 'string' ? { code } : {}), ...(typeof message === 'string' ? { message } : {}) };
  } catch {
    return {};
  }
}
