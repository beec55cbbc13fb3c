import type { Adapter, Check } from './adapter.ts';
import { type Configuration, configured } from './configured.ts';
import { deadline } from './deadline.ts';
import { faultFrom } from './faults.ts';
import type { Network } from './network.ts';
import { door } from './perform.ts';
import { redactor } from './redact.ts';
import { remedied } from './remedy.ts';
import { newWire, observe } from './wire.ts';

/**
 * Checks a destination's credentials and permissions without sending anything. Never throws: what went wrong is a finding. A kind that
 * has nothing to ask answers with no findings at all.
 */
export async function inspect(
  adapter: Adapter,
  stored: Configuration & { timeoutMs: number },
  network: Network,
): Promise<Check[]> {
  if (!adapter.check) return [];
  const wire = newWire();
  await adapter.load?.().catch(() => {});
  const limit = deadline(stored.timeoutMs, undefined);
  const redact = redactor(stored.secrets, stored.settings);
  const way = door(network, limit.signal);
  try {
    const call = { ...configured(adapter, stored), ...way, wire, signal: limit.signal };
    const work = observe(wire, async () => adapter.check?.(call) ?? []);
    const checks = await Promise.race([work, limit.passed]);
    return checks.map((check) => ({ ...check, detail: redact(check.detail) }));
  } catch (error) {
    return [{ name: 'connection', ok: false, detail: remedied(faultFrom(error, wire, adapter, redact), adapter) }];
  } finally {
    limit.clear();
  }
}
