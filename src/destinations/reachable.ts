import type { Call, Check } from './adapter.ts';
import { FaultError } from './adapter.ts';
import { describe } from './faults.ts';

/** Whether a URL's host has an address, and one that may be reached: all that can be known of an endpoint without calling it. */
export async function reachable(url: string, resolve: Call<never, never, never>['resolve']): Promise<Check> {
  const name = 'address';
  const { hostname } = new URL(url);
  try {
    await resolve(hostname);
    return {
      name,
      ok: true,
      detail: `${hostname} has an address. Only a test message shows whether it takes messages: { "send": true }.`,
    };
  } catch (error) {
    if (error instanceof FaultError) return { name, ok: false, detail: error.fault.message };
    return { name, ok: false, detail: `${hostname} has no address (${describe(error)}). Check the URL's spelling.` };
  }
}
