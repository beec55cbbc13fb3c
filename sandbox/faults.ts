import type { Plan, Service } from './standin.ts';

interface Aim {
  /** How many matching requests it meets; Infinity until cleared. Default 1. */
  times?: number;
  /** Default 'write'. */
  on?: 'write' | 'read' | 'any';
  /** Channel, receiver, flow, project key, issue key, routing key or recipient; any when absent. */
  place?: string;
  /** 0 to 1, drawn from the sandbox's seeded generator for each matching request. */
  probability?: number;
  /** Lets the first so many matching requests pass. */
  after?: number;
}

export type Fault = Aim &
  (
    | { do: 'refuse'; status: number; headers?: Record<string, string>; body?: unknown }
    | { do: 'rateLimit'; retryAfter?: number | string | null; reason?: string }
    | { do: 'error'; code: string }
    | { do: 'drop' }
    | { do: 'stall' }
    | { do: 'swallow' }
    | { do: 'swallowStall' }
    | { do: 'slow'; ms: number }
    | { do: 'late'; ms: number }
    | { do: 'failAfterApply'; status: number }
    | { do: 'garble'; body: 'html' | 'truncated' | 'empty' | 'text'; status?: number }
    | { do: 'breakOff' }
    | { do: 'answer'; body: unknown; headers?: Record<string, string> }
    | { do: 'bomb'; encoding?: 'gzip' | 'br'; megabytes?: number }
    | { do: 'drip'; everyMs?: number }
  );

export interface Faults {
  add: (service: Service, faults: Fault[]) => void;
  /** The fault this request meets, counted as used; null for none. */
  take: (service: Service, plan: Pick<Plan, 'places' | 'writes' | 'aimed'>) => Fault | null;
  clear: (service?: Service) => void;
  /** What is still queued; `times` and `after` are what remains of them. */
  queued: (service: Service) => Fault[];
}

export function createFaults(seed: number): Faults {
  const queues = new Map<Service, Fault[]>();
  const random = generator(seed);

  return {
    add(service, faults) {
      const queue = queues.get(service) ?? [];
      // Copies, because counting down must not change what the caller passed in and may pass again.
      queue.push(...faults.map((fault) => ({ ...fault })));
      queues.set(service, queue);
    },
    take(service, plan) {
      const queue = queues.get(service) ?? [];
      for (const fault of queue) {
        if (!meets(fault, plan)) continue;
        if (fault.after !== undefined && fault.after > 0) {
          fault.after -= 1;
          continue;
        }
        if (fault.probability !== undefined && random() >= fault.probability) continue;
        fault.times = (fault.times ?? 1) - 1;
        if (fault.times <= 0) queue.splice(queue.indexOf(fault), 1);
        return fault;
      }
      return null;
    },
    clear(service) {
      if (service === undefined) queues.clear();
      else queues.delete(service);
    },
    queued: (service) => (queues.get(service) ?? []).map((fault) => ({ ...fault })),
  };
}

function meets(fault: Fault, plan: Pick<Plan, 'places' | 'writes' | 'aimed'>): boolean {
  if (fault.place === undefined) {
    if (plan.aimed) return false;
  } else if (!plan.places.includes(fault.place)) return false;
  else if (plan.aimed) return true;
  const on = fault.on ?? 'write';
  return on === 'any' || (on === 'write') === plan.writes;
}

/** mulberry32: a run with the same seed and the same requests drops the same replies. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
