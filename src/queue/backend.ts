import { type Job, type Processor, Queue, type QueueOptions, runMigrations, Worker, type WorkerOptions } from 'bullmq';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import pg from 'pg';
import { keepAliveInitialDelayMillis, sessionLimits } from '../session-limits.ts';
import type { Pace } from './lanes.ts';
import { createSteadyBackend } from './postgres.ts';

/** How long a producer waits for a server that is down before it gives up, in milliseconds. The relay tries again. */
const producerTimeoutMs = 3_000;
/** How long PostgreSQL may take to answer a query of the queue, in milliseconds: longer than it takes to empty a full lane. */
const postgresAnswerMs = 60_000;
/** A dead worker's jobs are run again after at most the sum of both, in milliseconds. */
const lockMs = 10_000;
const stalledCheckMs = 5_000;
/** A lane that waits for a limit to pass looks so often, in milliseconds, whether somebody has lifted it. */
const lookAgainMs = 5_000;
/** Connections that a process needs besides one LISTEN per lane it works on. */
export const sparePostgresConnections = 10;

/** On PostgreSQL `addBulk` makes two temporary tables each time, which takes as long as adding so many jobs one by one. */
const worthATable = 20;
/** BullMQ keeps a log of events per queue for those who follow it, ten thousand by default; nobody follows ours. */
const keptEvents = 10;

/** `to` is the destination, in lanes that several share. */
export type Ring = Job<{ to?: string }>;

/** What differs between Redis and PostgreSQL; everything else is BullMQ's one API. */
export interface QueueBackend {
  readonly kind: 'redis' | 'postgres';
  queue(lane: string): Queue;
  /** Adds to a lane; one that is there already stays as it is. Fails fast while the server is down. */
  add(lane: string, rings: readonly { id: string; priority: number; data: Ring['data'] }[]): Promise<void>;
  /** Works on a lane. Waits patiently while the server is down. */
  worker(lane: string, process: Processor, options: { concurrency: number; pace?: Pace | null }): Worker;
  /** How many jobs of a lane could start now. */
  waiting(lane: string): Promise<number>;
  /** Empties a lane that nobody works on any more, and forgets it. */
  drop(lane: string): Promise<void>;
  /** Resolves when the server answers; rejects with the reason when it does not. */
  reach(): Promise<void>;
  close(): Promise<void>;
}

export interface QueueLog {
  warn(details: object, message: string): void;
}

/**
 * @param redisUrl one `redis://` or `rediss://` URL, or several comma-separated ones for a cluster; null: BullMQ runs on PostgreSQL
 * @param databaseUrl used when there is no Redis
 * @param lanes the most lanes that this process will work on; sizes PostgreSQL's pool
 */
export async function openQueueBackend(
  { redisUrl, databaseUrl, lanes }: { redisUrl: string | null; databaseUrl: string; lanes: number },
  log: QueueLog,
): Promise<QueueBackend> {
  return redisUrl ? openRedis(redisUrl, log) : openPostgres(databaseUrl, lanes, log);
}

function openRedis(url: string, log: QueueLog): QueueBackend {
  const nodes = url.split(',').map((node) => node.trim());
  // A producer must not pile up commands in memory while Redis is away: the outbox holds them, durably.
  const producer = connect(nodes, {
    keepAlive: keepAliveInitialDelayMillis,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: producerTimeoutMs,
    connectTimeout: producerTimeoutMs,
  });
  // Workers outlive any outage; BullMQ insists on null here.
  const consumer = connect(nodes, { keepAlive: keepAliveInitialDelayMillis, maxRetriesPerRequest: null });
  for (const client of [producer, consumer]) client.on('error', quiet(log, 'redis'));

  return assemble('redis', log, {
    queue: { connection: producer, prefix: 'tocsin', skipWaitingForReady: true },
    worker: { connection: consumer, prefix: 'tocsin' },
    // Braces make a lane's keys share one slot, and different lanes spread over a cluster's nodes.
    nameOf: (lane) => `{${lane}}`,
    async reach() {
      await withTimeout(producer.ping(), producerTimeoutMs, 'Redis did not answer');
    },
    async close() {
      producer.disconnect();
      consumer.disconnect();
    },
  });
}

function connect(nodes: string[], options: RedisOptions): Redis | Cluster {
  const [first = ''] = nodes;
  if (nodes.length === 1) return new Redis(first, { ...options, retryStrategy: reconnectMs });
  const { username, password, protocol } = new URL(first);
  return new Cluster(nodes, {
    enableOfflineQueue: options.enableOfflineQueue ?? true,
    clusterRetryStrategy: reconnectMs,
    redisOptions: {
      ...options,
      ...(username && { username: decodeURIComponent(username) }),
      ...(password && { password: decodeURIComponent(password) }),
      ...(protocol === 'rediss:' && { tls: {} }),
    },
  });
}

/** Quick at first, for a restart; never slower than a second, so that recovery is not our doing. */
function reconnectMs(times: number): number {
  return Math.min(times * 50, 1_000);
}

async function openPostgres(url: string, lanes: number, log: QueueLog): Promise<QueueBackend> {
  const pool = new pg.Pool({
    connectionString: url,
    // Each lane's worker holds one connection for LISTEN; a pool without room for them would hang for ever.
    max: lanes + sparePostgresConnections,
    application_name: 'tocsin-queue',
    connectionTimeoutMillis: 10_000,
    // Of a connection that was cut silently, a query would otherwise wait for an answer for a quarter of an hour.
    query_timeout: postgresAnswerMs,
    options: `-c search_path=bullmq ${sessionLimits}`,
    keepAlive: true,
    keepAliveInitialDelayMillis,
  });
  pool.setMaxListeners(0);
  pool.on('error', quiet(log, 'postgres'));
  // A client that breaks while BullMQ has it checked out, but asks nothing, would otherwise end the process.
  pool.on('connect', (client) => client.on('error', quiet(log, 'postgres')));
  const client = await pool.connect();
  try {
    await runMigrations(client);
  } finally {
    client.release();
  }
  const connection = pool as unknown as NonNullable<QueueOptions['connection']>;
  return assemble('postgres', log, {
    queue: { connection },
    worker: { connection },
    nameOf: (lane) => lane,
    async reach() {
      await withTimeout(pool.query('select 1'), producerTimeoutMs, 'PostgreSQL did not answer');
    },
    async close() {
      await pool.end();
    },
  });
}

interface Parts {
  queue: QueueOptions;
  worker: WorkerOptions;
  nameOf(lane: string): string;
  reach(): Promise<void>;
  close(): Promise<void>;
}

function assemble(kind: QueueBackend['kind'], log: QueueLog, parts: Parts): QueueBackend {
  const queues = new Map<string, Queue>();
  const factory = kind === 'postgres' ? [createSteadyBackend] : [];

  function queueOf(lane: string): Queue {
    let queue = queues.get(lane);
    if (!queue) {
      const options: QueueOptions = { ...parts.queue, streams: { events: { maxLen: keptEvents } } };
      // biome-ignore lint/suspicious/noExplicitAny: BullMQ types each backend's constructor apart
      queue = new (Queue as any)(parts.nameOf(lane), options, ...factory) as Queue;
      queue.on('error', quiet(log, lane));
      queues.set(lane, queue);
      forgetWhenUnready(lane, queue);
    }
    return queue;
  }

  /** BullMQ keeps the promise of a first connection that failed, and such a queue fails for ever: the next caller gets a new one. */
  function forgetWhenUnready(lane: string, queue: Queue): void {
    queue.waitUntilReady().catch(() => {
      if (queues.get(lane) === queue) queues.delete(lane);
      queue.close().catch(() => {});
    });
  }

  return {
    kind,
    queue: queueOf,
    async add(lane, rings) {
      const jobs = rings.map(({ id, priority, data }) => ({
        name: 'ring',
        data,
        // One job per delivery: a second ring for one that is waiting, active or delayed is ignored by BullMQ.
        opts: { jobId: id, priority, removeOnComplete: true, removeOnFail: true },
      }));
      const queue = queueOf(lane);
      if (kind === 'postgres' && jobs.length < worthATable) {
        await Promise.all(jobs.map(({ name, data, opts }) => queue.add(name, data, opts)));
      } else await queue.addBulk(jobs);
    },
    async waiting(lane) {
      const counts = await withTimeout(
        queueOf(lane).getJobCounts('wait', 'prioritized'),
        producerTimeoutMs,
        `Lane ${lane} did not say how full it is`,
      );
      return Object.values(counts).reduce((sum, n) => sum + n, 0);
    },
    async drop(lane) {
      const queue = queueOf(lane);
      await queue.drain(true);
      queues.delete(lane);
      await queue.close();
    },
    worker(lane, process, { concurrency, pace = null }) {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const worker = new (Worker as any)(
        parts.nameOf(lane),
        process,
        {
          ...parts.worker,
          concurrency,
          ...limiterOf(kind, pace),
          lockDuration: lockMs,
          stalledInterval: stalledCheckMs,
          // The ledger counts tries. A job that BullMQ gives up on must vanish, or the sweep could not ring it again.
          maxStalledCount: 1_000,
          removeOnComplete: { count: 0 },
          removeOnFail: { count: 0 },
          runRetryDelay: 1_000,
          maximumRateLimitDelay: lookAgainMs,
        } satisfies WorkerOptions,
        ...factory,
      ) as Worker;
      worker.on('error', quiet(log, lane));
      return worker;
    },
    reach: parts.reach,
    async close() {
      await Promise.allSettled(
        [...queues.values()].map((queue) => withTimeout(queue.close(), producerTimeoutMs, 'close')),
      );
      await parts.close();
    },
  };
}

/**
 * A worker tells the queue its lane's pace. On Redis a lane without one is given one that nobody reaches, because only a lane with some
 * pace heeds `Queue.rateLimit`; on PostgreSQL that would cost a lock and a write per job, so there the ledger alone stops such lanes.
 */
function limiterOf(kind: QueueBackend['kind'], pace: Pace | null): Pick<WorkerOptions, 'limiter'> {
  if (pace) return { limiter: { max: pace.max, duration: pace.perMs } };
  return kind === 'redis' ? { limiter: { max: 1_000_000_000, duration: 1_000 } } : {};
}

/** Connections complain once per retry; one line a second tells as much. */
function quiet(log: QueueLog, about: string): (error: Error) => void {
  let last = 0;
  return (error) => {
    const now = performance.now();
    if (now - last < 1_000) return;
    last = now;
    log.warn({ about, reason: error.message }, 'the queue server cannot be reached');
  };
}

export async function withTimeout<T>(work: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${message} within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
