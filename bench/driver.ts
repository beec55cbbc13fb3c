import { fork } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { until } from '../test/support/until.ts';
import { callers, type RunningArm } from './arms.ts';
import { percentile } from './measures.ts';

/** The receivers' process (sink.ts). */
export interface Sink {
  ports: number[];
  count(): Promise<number>;
  /**
   * What arrived since the last call: how many messages, when the last one came, and when each first came to each port, in monotonic
   * milliseconds.
   */
  take(): Promise<{ count: number; last: number; arrived: Map<string, number> }>;
  stop(): void;
}

export async function startSink(ports: number): Promise<Sink> {
  const path = fileURLToPath(new URL('./sink.ts', import.meta.url));
  // biome-ignore lint/suspicious/noExplicitAny: answers of our own child
  const next = () => new Promise<any>((resolve) => child.once('message', resolve));
  const child = fork(path, [String(ports)], { serialization: 'advanced' });
  const { ports: open } = await next();
  const ask = (question: string) => {
    const answer = next();
    child.send(question);
    return answer;
  };
  return {
    ports: open,
    count: async () => (await ask('count')).count,
    async take() {
      const { count, last, arrived } = await ask('take');
      return { count, last, arrived: new Map(arrived) };
    },
    stop: () => child.disconnect(),
  };
}

/** Milliseconds of the clock that all processes of the machine share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export interface Burst {
  /** From the first POST to the last receipt. */
  deliveriesPerSecond: number;
  /** From the first POST to the last 202. */
  acceptedPerSecond: number;
  deliveries: number;
  /** Messages that arrived more than once. */
  repeated: number;
}

/** Posts so many broadcasts as fast as they are accepted, and waits until all have arrived. */
export async function burst(arm: RunningArm, sink: Sink, broadcasts: number, tag: string): Promise<Burst> {
  const total = broadcasts * sink.ports.length;
  await sink.take();
  const began = monotonicMs();
  let next = 0;
  const one = async () => {
    while (next < broadcasts) await arm.post(`${tag} ${next++}`);
  };
  await Promise.all(Array.from({ length: callers }, one));
  const accepted = monotonicMs();
  await until('the burst to arrive', async () => (await sink.count()) >= total, { timeoutMs: 120_000, everyMs: 20 });
  const { count, arrived } = await sink.take();
  const last = Math.max(...arrived.values());
  return {
    deliveriesPerSecond: (total * 1_000) / (last - began),
    acceptedPerSecond: (broadcasts * 1_000) / (accepted - began),
    deliveries: arrived.size,
    repeated: count - arrived.size,
  };
}

export interface Steady {
  perSecond: number;
  /** From the 202 to the receipt, in milliseconds. */
  p50: number;
  p99: number;
  /** From the POST to the receipt, in milliseconds. */
  postP50: number;
  /** False when the arm fell behind: what was asked for took more than a tenth longer. */
  held: boolean;
}

/** Posts so many broadcasts a second for a while, evenly, and answers how long their deliveries took. */
export async function steady(arm: RunningArm, sink: Sink, perSecond: number, ms: number): Promise<Steady> {
  const broadcasts = Math.round((perSecond * ms) / 1_000);
  const total = broadcasts * sink.ports.length;
  await sink.take();
  const posted = new Map<string, number>();
  const accepted = new Map<string, number>();
  const began = monotonicMs();
  const posts = [];
  for (let n = 0; n < broadcasts; n++) {
    const wait = began + (n * 1_000) / perSecond - monotonicMs();
    if (wait > 1) await delay(wait);
    const title = `steady ${perSecond} ${n}`;
    posted.set(title, monotonicMs());
    posts.push(arm.post(title).then(() => accepted.set(title, monotonicMs())));
  }
  await Promise.all(posts);
  await until('every delivery to arrive', async () => (await sink.count()) >= total, {
    timeoutMs: 120_000,
    everyMs: 20,
  });
  const { arrived } = await sink.take();
  const since = (from: Map<string, number>) =>
    [...arrived].map(([key, at]) => Math.max(0, at - (from.get(key.slice(key.indexOf(' ') + 1)) ?? at)));
  const last = Math.max(...arrived.values());
  return {
    perSecond,
    p50: percentile(since(accepted), 0.5),
    p99: percentile(since(accepted), 0.99),
    postP50: percentile(since(posted), 0.5),
    held: last - began < ms * 1.1 + 100,
  };
}
