import { FaultError } from '../adapter.ts';
import { textFrom } from '../foreign.ts';

/** What PagerDuty found wrong with an event; null where the shared table says as much. */
export function refusal(status: number, body: string): FaultError | null {
  if (status !== 400) return null;
  const errors = errorsIn(body);
  const key = errors.some((error) => /routing_key|routing key/i.test(error));
  return new FaultError({
    class: 'permanent',
    reason: key ? 'invalid_routing_key' : 'invalid_event',
    message: `PagerDuty refused the event: ${errors.join(' ') || 'it did not say why.'}`,
    status,
    retryAfterMs: null,
    ...(key ? { credential: true } : {}),
  });
}

function errorsIn(body: string): string[] {
  try {
    const { errors } = JSON.parse(body) ?? {};
    return Array.isArray(errors) ? errors.slice(0, 20).map(textFrom) : [];
  } catch {
    return [];
  }
}
