import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Webhook receivers on loopback, each a server of its own, as real destinations are. */
export interface Receivers {
  /** Starts one, and answers its URL. */
  add(name: string): Promise<string>;
  /** From now on it takes requests and never answers; or answers again, and lets those go that it kept. */
  stall(name: string, stalling: boolean): void;
  /** When each message was first received, by its title, in the milliseconds of `performance.now()`. */
  seen: Map<string, Map<string, number>>;
  /** How many messages were received, repeats included. */
  count(): number;
  close(): Promise<void>;
}

export async function startReceivers(): Promise<Receivers> {
  const servers: Server[] = [];
  const kept = new Map<string, Set<ServerResponse>>();
  const seen = new Map<string, Map<string, number>>();
  let count = 0;

  async function take(name: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const at = performance.now();
    let body = '';
    for await (const chunk of request) body += chunk;
    const stalled = kept.get(name);
    if (stalled) return void stalled.add(response);
    count += 1;
    const title: string = JSON.parse(body).data.message.title;
    const times = seen.get(name);
    if (times && !times.has(title)) times.set(title, at);
    response.writeHead(204).end();
  }

  return {
    seen,
    count: () => count,
    async add(name) {
      const server = createServer((request, response) => void take(name, request, response).catch(() => {}));
      server.keepAliveTimeout = 120_000;
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      servers.push(server);
      seen.set(name, new Map());
      return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    },
    stall(name, stalling) {
      if (stalling) return void kept.set(name, new Set());
      const stalled = kept.get(name) ?? [];
      kept.delete(name);
      for (const response of stalled) response.writeHead(503).end();
    },
    async close() {
      for (const server of servers) {
        server.closeAllConnections();
        server.close();
      }
    },
  };
}
