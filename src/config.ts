import { resolve } from 'node:path';
import { z } from 'zod';
import { networkFrom, type PrivateNetworks } from './destinations/private-networks.ts';
import { StartError } from './start-error.ts';
import { wording } from './wording.ts';

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** Everything that the environment decides, checked once at start. */
export interface Config {
  host: string;
  port: number;
  /** Null: an embedded PostgreSQL under `dataDir`. */
  databaseUrl: string | null;
  /** Null: BullMQ runs on PostgreSQL. Several nodes of a cluster are separated by commas. */
  redisUrl: string | null;
  /** Absolute. */
  dataDir: string;
  apiKey: string | null;
  /** Null: one is generated under `dataDir`. */
  secretKey: string | null;
  /** The API starts although it can open none of the stored secrets, so that they can be stored again. */
  secretKeyLost: boolean;
  configFile: string | null;
  allowPrivateNetworks: PrivateNetworks;
  logLevel: (typeof logLevels)[number];
  /** When so many deliveries wait for a destination, info for it is refused; more important ones later. */
  maxBacklog: number;
}

export class ConfigError extends StartError {
  override name = 'ConfigError';
}

/** A shorter key, which opens everything, could be guessed by whoever reaches the port. */
export const leastKey = 16;

const truths: Record<string, boolean> = { true: true, '1': true, false: false, '0': false };

const Environment = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: z
    .string()
    .regex(/^\d{1,5}$/, 'must be a port number between 0 and 65535, such as 8080')
    .transform(Number)
    .refine((port) => port <= 65_535, 'must be a port number between 0 and 65535, such as 8080')
    .default(8080),
  DATABASE_URL: url(
    /^postgres(ql)?:$/,
    'must be a postgres:// URL, such as postgres://tocsin@db.example.com/tocsin; unset it to use the embedded PostgreSQL',
  ),
  REDIS_URL: z
    .string()
    .refine(
      (list) => list.split(',').every((node) => /^rediss?:$/.test(URL.parse(node.trim())?.protocol ?? '')),
      'must be redis:// or rediss:// URLs, the nodes of a cluster separated by commas; unset it to run on PostgreSQL alone',
    )
    .nullable()
    .default(null),
  TOCSIN_DATA: z.string().default('./data'),
  TOCSIN_API_KEY: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces, because it travels in a header')
    .nullable()
    .default(null),
  TOCSIN_SECRET_KEY: z
    .string()
    .min(16, 'must have at least 16 characters; `openssl rand -base64 32` makes a good one')
    .nullable()
    .default(null),
  TOCSIN_CONFIG: z.string().nullable().default(null),
  TOCSIN_SECRET_KEY_LOST: truth(),
  TOCSIN_ALLOW_PRIVATE_NETWORKS: privateNetworks(),
  TOCSIN_MAX_BACKLOG: z
    .string()
    .regex(/^[1-9]\d{0,8}$/, 'must be a number of deliveries, such as 100000')
    .transform(Number)
    .default(100_000),
  LOG_LEVEL: z.enum(logLevels, `must be one of ${logLevels.join(', ')}`).default('info'),
});

/** Reads the configuration. Throws a ConfigError that names every variable that is wrong, and how to mend it. */
export function loadConfig(env: Record<string, string | undefined>): Config {
  // An empty variable is what a template or compose file leaves of an unset one.
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value.trim() !== ''));
  const parsed = Environment.safeParse(set, { error: wording });
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `${path.join('.')} ${message}.`);
    throw new ConfigError(problems.join('\n'));
  }
  const read = parsed.data;
  if (read.TOCSIN_API_KEY && read.TOCSIN_API_KEY.length < leastKey && !isLoopback(read.HOST)) {
    throw new ConfigError(
      `TOCSIN_API_KEY must have at least ${leastKey} characters unless HOST is loopback; \`openssl rand -hex 32\` makes a good one.`,
    );
  }
  return {
    host: read.HOST,
    port: read.PORT,
    databaseUrl: read.DATABASE_URL,
    redisUrl: read.REDIS_URL,
    dataDir: resolve(read.TOCSIN_DATA),
    apiKey: read.TOCSIN_API_KEY,
    secretKey: read.TOCSIN_SECRET_KEY,
    secretKeyLost: read.TOCSIN_SECRET_KEY_LOST,
    configFile: read.TOCSIN_CONFIG && resolve(read.TOCSIN_CONFIG),
    allowPrivateNetworks: read.TOCSIN_ALLOW_PRIVATE_NETWORKS,
    logLevel: read.LOG_LEVEL,
    maxBacklog: read.TOCSIN_MAX_BACKLOG,
  };
}

/** True for an address where only this machine can come. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** For the names that a configuration file refers to, which nobody can know beforehand. */
export function environmentVariable(name: string): string | undefined {
  return process.env[name];
}

function truth() {
  return z
    .string()
    .toLowerCase()
    .refine((text) => text in truths, 'must be true or false')
    .transform((text) => truths[text] === true)
    .default(false);
}

function privateNetworks() {
  return z
    .string()
    .transform((text, context): PrivateNetworks => {
      const word = truths[text.trim().toLowerCase()];
      if (word !== undefined) return word;
      try {
        return text.split(',').map((entry) => networkFrom(entry.trim()));
      } catch (error) {
        const message = `must be true, false, or a list of networks such as 10.0.0.0/8,fd00::/8: ${(error as Error).message}`;
        context.addIssue({ code: 'custom', message });
        return z.NEVER;
      }
    })
    .default(false);
}

function url(protocol: RegExp, remedy: string) {
  return z
    .string()
    .refine((text) => protocol.test(URL.parse(text)?.protocol ?? ''), remedy)
    .nullable()
    .default(null);
}
