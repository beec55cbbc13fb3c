import type { Fault, Receipt } from '../delivery/outcome.ts';
import type { Adapter, Check } from '../destinations/adapter.ts';
import { inspect } from '../destinations/inspect.ts';
import type { Network } from '../destinations/network.ts';
import { perform } from '../destinations/perform.ts';
import { remedied } from '../destinations/remedy.ts';
import { newId } from '../ids.ts';

export interface Tested {
  adapter: Adapter;
  name: string;
  settings: unknown;
  secrets: unknown;
  timeoutMs: number;
}

/** Credentials and permissions, as far as the kind can tell without sending anything. Never throws, never tells a secret. */
export async function checkDestination({ adapter, ...stored }: Tested, network: Network): Promise<Check[]> {
  if (adapter.check) return inspect(adapter, stored, network);
  const detail = `A ${adapter.kind} destination cannot be checked without sending to it: use { "send": true }.`;
  return [{ name: 'check', ok: true, detail }];
}

/** Sends one message that says it is a test. It is no broadcast: nothing is recorded, and it is not tried again. */
export async function sendTest(
  { adapter, name, settings, secrets, timeoutMs }: Tested,
  network: Network,
  correlationId: string,
): Promise<{ receipt: Receipt | null; error: Fault | null }> {
  const key = newId('dl');
  const since = new Date();
  const message = {
    title: 'Test message from Tocsin',
    body: `Whoever reads this knows that the destination **${name}** works.`,
    severity: 'info' as const,
  };
  const notice = {
    message,
    key,
    revision: 1,
    retracted: false,
    broadcastId: newId('bc'),
    topic: null,
    correlationId,
    metadata: {},
    createdAt: since,
    crossLinks: [],
  };
  const none = { receipt: null, root: null, since, startedAt: since };
  const attempt = { action: 'deliver' as const, settings, secrets, key, revision: 1, ...none };
  const { outcome } = await perform(adapter, { ...attempt, notice, timeoutMs }, network);
  if (outcome.is === 'success') return { receipt: outcome.receipt, error: null };
  if (outcome.is !== 'fault') return { receipt: null, error: null };
  return { receipt: null, error: { ...outcome.fault, message: remedied(outcome.fault, adapter) } };
}
