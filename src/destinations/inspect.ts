import type { Adapter, Check } from './adapter.ts';
import { type Configuration, configured } from './configured.ts';
import { deadline } from './deadline.ts';
import { faultFrom, told } from './faults.ts';
import type { Network } from './network.ts';
import { door, loaded } from './perform.ts';
import { redactor } from './redact.ts';
import { remedied } from './remedy.ts';
import { newWire, observe } from './wire.ts';

/** A finding may list what there is to choose from, so that it has more room than a fault. */
const detailLimit = 2_000;

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
  await loaded(adapter);
  const limit = deadline(stored.timeoutMs, undefined);
  const redact = redactor(stored.secrets, stored.settings);
  const way = door(network, limit.signal);
  try {
    const call = { ...configured(adapter, stored), ...way, wire, signal: limit.signal };
    const work = observe(wire, async () => adapter.check?.(call) ?? []);
    const checks = await Promise.race([work, limit.passed]);
    return checks.map(({ name, ok, detail }) => ({
      name: told(name, redact),
      ok,
      detail: told(detail, redact, detailLimit),
    }));
  } catch (error) {
    return [{ name: 'connection', ok: false, detail: remedied(faultFrom(error, wire, adapter, redact), adapter) }];
  } finally {
    limit.clear();
  }
}
