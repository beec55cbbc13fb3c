import type { Place } from './scene.ts';

export interface Delivery {
  destination: string;
  state: string;
  attempt: number;
  maxAttempts: number;
  nextAttemptAt: string | null;
  lastError: { class: string; message: string; status: number | null } | null;
  receipt: { url?: string | null } | null;
}

export interface Broadcast {
  id: string;
  state: string;
  summary: string;
  deliveries: Delivery[];
}

/** Says in one plain sentence what is worth knowing about a delivery that has just changed; null when nothing is. */
export function narrate({ called }: Place, before: Delivery | undefined, now: Delivery): string | null {
  if (before?.state === now.state && before.attempt === now.attempt) return null;
  const { class: fault, status = null } = now.lastError ?? {};
  switch (now.state) {
    case 'verifying':
      if (before?.lastError) return null;
      return `${called} took the message but the line dropped: reading the channel back before sending anything again.`;
    case 'retrying':
      if (fault === 'rate_limited' && now.attempt > 1) {
        return `${called} asks for patience again (429). A rate limit is nobody's failure: it uses up none of the tries.`;
      }
      if (fault === 'rate_limited') {
        return `${called} asks to wait ${waitSeconds(now)} s (429). Only ${called} waits; the others go on.`;
      }
      return `${called} answered ${status ?? 'nothing'}, so it may have it or not: sent again under the same id, by which it drops repeats.`;
    case 'confirmed':
      return before?.lastError ? confirmed(called, before.lastError) : null;
    default:
      return null;
  }
}

function confirmed(called: string, fault: NonNullable<Delivery['lastError']>): string | null {
  if (fault.class === 'rate_limited') return `${called} was given the time it asked for, and has it now.`;
  return fault.status === null ? `${called} had it all along: found by its mark, and not sent twice.` : null;
}

/** When the next try comes, in whole seconds from now. */
export function waitSeconds({ nextAttemptAt }: Delivery): number {
  return nextAttemptAt === null ? 0 : Math.max(1, Math.round((Date.parse(nextAttemptAt) - Date.now()) / 1000));
}
