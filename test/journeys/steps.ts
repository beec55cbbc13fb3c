import { randomUUID } from 'node:crypto';
import { expect } from 'vitest';
import { isUnavailable, patiently } from '../support/patiently.ts';
import { redisAvailable } from '../support/redis.ts';
import { until } from '../support/until.ts';
import type { QueueKind, World } from '../support/world.ts';
import type { Place } from './places.ts';

export interface Delivery {
  id: string;
  destination: string;
  state: string;
  hold?: string;
  attempt: number;
  maxAttempts: number;
  revision: { desired: number; confirmed: number };
  lastError: { class: string; reason: string; message: string; status: number | null } | null;
  receipt: Record<string, unknown> | null;
  escalatedTo: string | null;
}

export interface Broadcast {
  id: string;
  state: string;
  revision: number;
  summary: string;
  topic: string | null;
  metadata: Record<string, string>;
  deliveries: Delivery[];
}

/** The queues that can be had on this machine. */
export const queues: QueueKind[] = redisAvailable() ? ['postgres', 'redis'] : ['postgres'];

/** Broadcasts at these places; more of the request in `rest`. */
export async function say(world: World, title: string, places: readonly Place[], rest: object = {}) {
  const destinations = places.map(({ name }) => name);
  const headers = { 'idempotency-key': randomUUID() };
  const body = { message: { title }, destinations, ...rest };
  const answer = await patiently(() => world.api('POST', '/broadcasts', body, headers), isUnavailable);
  expect([200, 202], JSON.stringify(answer.body)).toContain(answer.status);
  return answer.body as Broadcast;
}

export async function read(world: World, { id }: { id: string }): Promise<Broadcast> {
  const { status, body } = await world.api('GET', `/broadcasts/${id}`);
  expect(status).toBe(200);
  return body;
}

/** The broadcast once it has converged, which must be within two minutes. */
export async function converged(world: World, { id }: { id: string }): Promise<Broadcast> {
  const wait = () => world.api('GET', `/broadcasts/${id}?wait=60`);
  let { body } = await wait();
  if (body.state === 'converging') ({ body } = await wait());
  expect(body.state, `${body.summary} ${JSON.stringify(body.deliveries)}`).not.toBe('converging');
  return body;
}

/** The delivery at a place, once it is as wanted. */
export function delivery(world: World, broadcast: { id: string }, { name }: Place, state: string): Promise<Delivery> {
  return until(`the delivery at ${name} to be ${state}`, async () => {
    const it = deliveryAt(await read(world, broadcast), { name });
    if (it.state !== state) throw new Error(`it is ${it.state}: ${JSON.stringify(it.lastError)}`);
    return it;
  });
}

export function deliveryAt({ deliveries }: Broadcast, { name }: { name: string }): Delivery {
  const found = deliveries.find(({ destination }) => destination === name);
  if (!found) throw new Error(`no delivery at ${name}`);
  return found;
}

/** The attempts log, one word pair each: "deliver ambiguous", "verify landed". */
export async function attempts(world: World, { id }: { id: string }): Promise<string[]> {
  const { body } = await world.api('GET', `/deliveries/${id}`);
  return body.attempts.map(({ action, outcome }: { action: string; outcome: string }) => `${action} ${outcome}`);
}

/** Some services are read by POST. */
const readingPaths = /\/(conversations\.\w+|auth\.test|search\/jql|issue\/bulkfetch|comment\/list)(\?|$)/;

/** The writing requests that met this place, whatever became of them. */
export function writes(world: World, { service, at }: Place) {
  return world.sandbox
    .requests(service)
    .filter(({ place, method, path }) => place === at && method !== 'GET' && !readingPaths.test(path));
}

/** Says what each place's people should see: exactly one message with these words. */
export function expectOneEach(places: readonly Place[], words: string): void {
  expect(Object.fromEntries(places.map((place) => [place.name, place.count(words)]))).toEqual(
    Object.fromEntries(places.map(({ name }) => [name, 1])),
  );
}
