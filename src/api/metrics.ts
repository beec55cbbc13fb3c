import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Database } from '../ledger/database.ts';
import { measure, mostCounted } from '../ledger/measure.ts';
import type { Severity } from '../message.ts';
import { share } from '../share.ts';

/** Anybody may ask for the metrics, as often as they like: they get the same text for so long, in milliseconds. */
const keepMs = 2_000;
/** The ledger is measured at most this part of the time: one in so many. */
const restFactor = 20;

export interface Metrics {
  registry: Registry;
  accepted(severity: Severity): void;
  answered(route: string, method: string, status: number, seconds: number): void;
  /** The text for Prometheus, at most two seconds old. */
  expose(): Promise<string>;
}

/** The API's own metrics, and what the ledger says about the whole. */
export function createMetrics(db: Database, registry = new Registry()): Metrics {
  const registers = [registry];
  if (!registry.getSingleMetric('process_cpu_seconds_total')) collectDefaultMetrics({ register: registry });
  const accepted = new Counter({
    name: 'tocsin_broadcasts_accepted_total',
    help: 'Broadcasts recorded by this process.',
    labelNames: ['severity'],
    registers,
  });
  const answered = new Histogram({
    name: 'tocsin_http_request_duration_seconds',
    help: 'Time to answer, by route.',
    labelNames: ['route', 'method', 'status'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers,
  });
  const up = new Gauge({ name: 'tocsin_ledger_up', help: '1 while the database answers.', registers });
  const deliveries = new Gauge({
    name: 'tocsin_deliveries',
    help:
      'Deliveries that are open, or ended dead, unknown or expired, by destination; those to callback URLs together as callback. ' +
      `Counted up to ${mostCounted} for each destination and state.`,
    labelNames: ['destination', 'state'],
    registers,
  });
  const stopped = new Gauge({
    name: 'tocsin_destination_stopped',
    help: '1 while a destination is paused, its breaker is not closed, or its service asked to be left alone (429).',
    labelNames: ['destination', 'by'],
    registers,
  });
  const oldest = new Gauge({
    name: 'tocsin_oldest_open_delivery_age_seconds',
    help: 'Age of the oldest open delivery that is not paused.',
    registers,
  });
  const due = new Gauge({
    name: 'tocsin_deliveries_due',
    help: 'Deliveries that are due and wait for their turn.',
    registers,
  });

  const measured = share(() => measure(db), { keepMs, rest: restFactor });
  const expose = share(
    async () => {
      const measures = await measured().catch(() => null);
      deliveries.reset();
      stopped.reset();
      // The process still has its own to tell, and that the database does not answer is the most telling of all.
      up.set(measures ? 1 : 0);
      if (measures) {
        for (const { destination, state, n } of measures.deliveries) deliveries.inc({ destination, state }, n);
        for (const { destination, by } of measures.stopped) stopped.set({ destination, by }, 1);
        oldest.set(measures.oldestOpenSeconds);
        due.set(measures.due);
      }
      return registry.metrics();
    },
    { keepMs },
  );

  return {
    registry,
    accepted: (severity) => accepted.inc({ severity }),
    answered: (route, method, status, seconds) => answered.observe({ route, method, status }, seconds),
    expose,
  };
}
