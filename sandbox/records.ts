import type { Fault } from './faults.ts';
import { isFields, type Service } from './standin.ts';

/** One request as it arrived, and what became of it. */
export interface Recorded {
  n: number;
  service: Service;
  place: string | null;
  method: string;
  path: string;
  headers: Record<string, string>;
  body: unknown;
  at: Date;
  fault: Fault['do'] | null;
  /** The status that was answered; null while, or because, there was none. */
  status: number | null;
}

export interface Records {
  add: (entry: Omit<Recorded, 'n' | 'at' | 'status' | 'headers'> & { headers: Headers }) => Recorded;
  all: (service?: Service) => Recorded[];
  clear: () => void;
}

type Headers = Record<string, string | string[] | undefined>;

const SECRET_FIELDS = new Set(['token', 'refresh_token', 'client_secret', 'password']);

export function createRecords(): Records {
  let entries: Recorded[] = [];
  let count = 0;
  return {
    add(entry) {
      count += 1;
      const recorded: Recorded = {
        ...entry,
        n: count,
        headers: readable(entry.headers),
        body: withoutSecrets(entry.body),
        at: new Date(),
        status: null,
      };
      entries.push(recorded);
      return recorded;
    },
    all: (service) => entries.filter((entry) => service === undefined || entry.service === service),
    clear() {
      entries = [];
    },
  };
}

function readable(headers: Headers): Record<string, string> {
  const result: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined) continue;
    const joined = Array.isArray(value) ? value.join(', ') : value;
    result[name] = name === 'authorization' ? lastFour(joined) : joined;
  }
  return result;
}

// People point real configurations at the sandbox and then share what it recorded.
function withoutSecrets(body: unknown): unknown {
  if (!isFields(body)) return body;
  return Object.fromEntries(
    Object.entries(body).map(([name, value]) => [
      name,
      SECRET_FIELDS.has(name) && typeof value === 'string' ? lastFour(value) : value,
    ]),
  );
}

function lastFour(secret: string): string {
  return `…${secret.slice(-4)}`;
}
