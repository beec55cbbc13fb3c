import { setTimeout as delay } from 'node:timers/promises';
import type { ChaosProxy } from '../support/proxy.ts';
import type { Deeds, Pace } from './kills.ts';
import type { Parts } from './parts.ts';
import type { Random } from './random.ts';
import type { Server } from './servers.ts';

/** What the network between the processes and the servers does wrong. Each ends by itself. */
export function stormsOn({ postgres, redis }: Parts, random: Random, { longMs }: Pace): Deeds {
  const over =
    ({ lines }: Server, times: readonly [number, number], begin: (proxy: ChaosProxy) => void) =>
    async () => {
      for (const { proxy } of lines) begin(proxy);
      await delay(random.int(...times));
      for (const { proxy } of lines) proxy.heal();
    };
  const short = [1_000, 6_000] as const;
  const around = (name: string, server: Server): Deeds => ({
    [`${name} cut off`]: over(server, short, (proxy) => proxy.cut()),
    [`${name} silent`]: over(server, short, (proxy) => proxy.stall()),
    [`${name} slow`]: over(server, short, (proxy) => proxy.slow(random.int(20, 200))),
    [`${name}'s connections swallowed`]: over(server, longMs, (proxy) => proxy.swallow()),
  });
  return {
    ...around('PostgreSQL', postgres),
    // A second there and a second back, for each piece.
    'PostgreSQL at 2 s a round trip': over(postgres, longMs, (proxy) => proxy.slow(1_000)),
    ...(redis && around('Redis', redis)),
  };
}
