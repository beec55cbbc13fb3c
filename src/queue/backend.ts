import { createHash } from 'node:crypto';
import { Queue, type QueueOptions, runMigrations, Worker, type WorkerOptions } from 'bullmq';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import pg from 'pg';
import { keepAliveInitialDelayMillis, sessionLimits } from '../session-limits.ts';
import { createSteadyBackend } from './postgres.ts';

/** How long a producer waits for a server that is down before it gives up, in milliseconds. The wake loop tries again. */
const producerTimeoutMs = 3_000;
/** How long PostgreSQL may take to answer a query of the queue, in milliseconds. */
const postgresAnswerMs = 15_000;
/**
 * A dead or frozen worker's jobs are run again after at most the sum of both, in milliseconds. Shorter, and a busy process loses jobs
 * that it works on; longer, and its destinations wait.
 */
const lockMs = 3_000;
const stalledCheckMs = 1_500;
/** Destinations that one process drains at once. A drainer without work costs a timer and the renewal of its job's lock. */
const drainers = 5_000;
/** Connections of a process to PostgreSQL for its queue, LISTEN included. */
const postgresConnections = 8;
/** On PostgreSQL `addBulk` makes two temporary tables each time, which takes as long as adding so many jobs one by one. */
const worthATable = 20;
/** BullMQ keeps a log of events per queue for those who follow it, ten thousand by default; nobody follows ours. */
const keptEvents = 10;

/**
 * When more destinations than this become due at once, each job serves so many of them. A BullMQ job costs more than sending one message,
 * and most destinations of a broadcast to thousands are idle.
 */
const shared = 100;

/** What differs between Redis and PostgreSQL; everything else is BullMQ's one API. */
export interface QueueBackend {
  readonly kind: 'redis' | 'postgres';
  /** Adds the job of each destination that has none; very many at once share jobs. Fails fast while the server is down. */
  add(destinations: readonly string[]): Promise<void>;
  /** Replaces a destination's job that nobody works on: the queue may have lost a part of it, or keep it for later. */
  replace(destination: string): Promise<void>;
  /**
   * Follows jobs. Waits patiently while the server is down.
   *
   * @param onFinished told when a destination's job has left the queue; of a shared job also before, when its own part is over
   */
  work(drain: (destination: string) => Promise<void>, onFinished: (destination: string) => void): QueueWorker;
  /** Resolves when the server answers; rejects with the reason when it does not. */
  reach(): Promise<void>;
  close(): Promise<void>;
}

export interface QueueWorker {
  /** Resolves when the jobs under way have finished. */
  stop(): Promise<void>;
}

export interface QueueLog {
  warn(details: object, message: string): void;
}

/**
 * @param redisUrl one `redis://` or `rediss://` URL, or several comma-separated ones for a cluster; null: BullMQ runs on PostgreSQL
 * @param databaseUrl used when there is no Redis
 */
export async function openQueueBackend(
  { redisUrl, databaseUrl }: { redisUrl: string | null; databaseUrl: string },
  log: QueueLog,
): Promise<QueueBackend> {
  return redisUrl ? openRedis(redisUrl, log) : openPostgres(databaseUrl, log);
}

function openRedis(url: string, log: QueueLog): QueueBackend {
  const nodes = url.split(',').map((node) => node.trim());
  // A producer must not pile up commands in memory while Redis is away: what is due is in the ledger.
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
    // Braces make all keys of the queue share one slot of a cluster.
    name: '{destinations}',
    queue: { connection: producer, prefix: 'tocsin', skipWaitingForReady: true },
    worker: { connection: consumer, prefix: 'tocsin' },
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

async function openPostgres(url: string, log: QueueLog): Promise<QueueBackend> {
  const pool = new pg.Pool({
    connectionString: url,
    max: postgresConnections,
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
    name: 'destinations',
    queue: { connection },
    worker: { connection },
    async reach() {
      await withTimeout(pool.query('select 1'), producerTimeoutMs, 'PostgreSQL did not answer');
    },
    async close() {
      await pool.end();
    },
  });
}

interface Job {
  data: { destinations?: string[] };
}

interface Parts {
  name: string;
  queue: QueueOptions;
  worker: WorkerOptions;
  reach(): Promise<void>;
  close(): Promise<void>;
}

/** BullMQ's job ids have no colon and are no number. A callback's destination has colons: `callback:<host>`. */
function jobId(destination: string): string {
  return `to-${destination.replaceAll(':', '=')}`;
}

function assemble(kind: QueueBackend['kind'], log: QueueLog, parts: Parts): QueueBackend {
  const factory = kind === 'postgres' ? [createSteadyBackend] : [];
  let queue: Queue | undefined;

  function open(): Queue {
    if (queue) return queue;
    const options: QueueOptions = { ...parts.queue, streams: { events: { maxLen: keptEvents } } };
    // biome-ignore lint/suspicious/noExplicitAny: BullMQ types each backend's constructor apart
    const fresh = new (Queue as any)(parts.name, options, ...factory) as Queue;
    fresh.on('error', quiet(log, 'queue'));
    // BullMQ keeps the promise of a first connection that failed, and such a queue fails for ever: the next caller gets a new one.
    fresh.waitUntilReady().catch(() => {
      if (queue === fresh) queue = undefined;
      fresh.close().catch(() => {});
    });
    queue = fresh;
    return fresh;
  }

  const jobOf = (destinations: readonly string[], id: string) => ({
    name: 'drain',
    data: { destinations },
    opts: { jobId: id, removeOnComplete: true, removeOnFail: true },
  });

  function jobsOf(destinations: readonly string[]) {
    if (destinations.length <= shared)
      return destinations.map((destination) => jobOf([destination], jobId(destination)));
    // Other processes hear the same and form the same groups: the queue keeps one job for each group.
    const sorted = [...destinations].sort();
    return Array.from({ length: Math.ceil(sorted.length / shared) }, (_, n) => {
      const some = sorted.slice(n * shared, (n + 1) * shared);
      return jobOf(some, `many-${createHash('sha256').update(some.join()).digest('hex')}`);
    });
  }

  async function add(destinations: readonly string[]): Promise<void> {
    const jobs = jobsOf(destinations);
    if (kind === 'postgres' && jobs.length < worthATable) {
      await Promise.all(jobs.map(({ name, data, opts }) => open().add(name, data, opts)));
    } else await open().addBulk(jobs);
  }

  return {
    kind,
    add: (destinations) => withTimeout(add(destinations), producerTimeoutMs, 'The queue did not take jobs'),
    async replace(destination) {
      // A job that a worker has locked stays: that worker drains the destination.
      await withTimeout(open().remove(jobId(destination)), producerTimeoutMs, 'The queue did not remove a job').catch(
        () => {},
      );
      await withTimeout(add([destination]), producerTimeoutMs, 'The queue did not take a job');
    },
    work(drain, onFinished) {
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const worker = new (Worker as any)(
        parts.name,
        ({ data: { destinations = [] } }: Job) => {
          const [only, ...others] = destinations;
          if (only !== undefined && others.length === 0) return drain(only);
          return Promise.allSettled(
            destinations.map((destination) => drain(destination).finally(() => onFinished(destination))),
          ).then(() => {});
        },
        {
          ...parts.worker,
          concurrency: drainers,
          lockDuration: lockMs,
          stalledInterval: stalledCheckMs,
          // The ledger counts tries. A job that BullMQ gives up on must vanish, or the destination could have no other.
          maxStalledCount: 1_000_000,
          removeOnComplete: { count: 0 },
          removeOnFail: { count: 0 },
          runRetryDelay: 1_000,
        } satisfies WorkerOptions,
        ...factory,
      ) as Worker;
      worker.on('error', quiet(log, 'queue'));
      for (const event of ['completed', 'failed'] as const) {
        worker.on(event, (job: Job | undefined) => {
          // Until now the queue took no job of the same id. Callers that wanted one ask again.
          for (const destination of job?.data.destinations ?? []) onFinished(destination);
        });
      }
      return { stop: () => worker.close() };
    },
    reach: parts.reach,
    async close() {
      if (queue) await withTimeout(queue.close(), producerTimeoutMs, 'The queue did not close').catch(() => {});
      await parts.close();
    },
  };
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
