import { connect, createServer, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';

export interface ChaosProxy {
  port: number;
  /** The proxy's address in the target's own scheme: `url('redis://')` is `redis://127.0.0.1:<port>`. */
  url(prefix: string): string;
  /** Resets every connection, and each new one at once. */
  cut(): void;
  /** Keeps connections and takes new ones, and passes nothing on. */
  stall(): void;
  /**
   * Discards what every open connection carries, both ways and from now on, and tells neither end that the other one closed. New
   * connections work. It is what a firewall does that forgot its connections, or a machine that lost its power.
   */
  swallow(): void;
  /** Passes each piece on after `ms`. */
  slow(ms: number): void;
  /** As if nothing had been: what stalled goes on its way, and what was swallowed is reset, because its bytes are gone. */
  heal(): void;
  /** The ports from which the target is called just now: by them a server tells which of its sessions came this way. */
  ports(): number[];
  close(): Promise<void>;
}

/** One connection through the proxy. */
interface Pair {
  ends: readonly [client: Socket, upstream: Socket];
  swallowed: boolean;
}

/** A bad network on command, on loopback, in front of any TCP server. */
export async function startProxy(target: { host: string; port: number }): Promise<ChaosProxy> {
  const sockets = new Set<Socket>();
  let severed = false;
  let slowness = 0;
  const pairs = new Set<Pair>();
  let gate: { passed: Promise<void>; pass: () => void } | undefined;

  const channel = (pair: Pair) =>
    new Transform({
      async transform(chunk, _encoding, done) {
        if (slowness > 0) await delay(slowness);
        while (gate) await gate.passed;
        if (pair.swallowed) done();
        else done(null, chunk);
      },
      flush(done) {
        // The end of what was swallowed is not told: without this callback the other end is never closed.
        if (!pair.swallowed) done();
      },
    });

  const track = (socket: Socket) => {
    sockets.add(socket);
    socket.setNoDelay(true);
    socket.once('close', () => sockets.delete(socket));
    return socket;
  };

  // Half-open, so that one side's end of sending is passed on like everything else, after the bytes before it.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    // Accepted and reset, rather than not listened to: a port given up in between could be taken by somebody else.
    if (severed) return void client.resetAndDestroy();
    const upstream = connect({ ...target, allowHalfOpen: true });
    const pair: Pair = { ends: [track(client), track(upstream)], swallowed: false };
    pairs.add(pair);
    client.pipe(channel(pair)).pipe(upstream);
    upstream.pipe(channel(pair)).pipe(client);
    for (const [one, other] of [pair.ends, [...pair.ends].reverse()] as [Socket, Socket][]) {
      one.on('error', () => {
        if (!pair.swallowed) other.resetAndDestroy();
      });
      one.once('close', () => {
        if (other.destroyed) pairs.delete(pair);
        else if (!pair.swallowed && !other.writableEnded) other.destroySoon();
      });
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as { port: number };

  const heal = () => {
    severed = false;
    slowness = 0;
    const held = gate;
    gate = undefined;
    held?.pass();
    for (const { ends, swallowed } of pairs) if (swallowed) for (const end of ends) end.resetAndDestroy();
  };
  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };

  return {
    port,
    url: (prefix) => `${prefix}127.0.0.1:${port}`,
    cut() {
      severed = true;
      reset();
    },
    stall() {
      if (gate) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = { passed: promise, pass: resolve };
    },
    swallow() {
      for (const pair of pairs) pair.swallowed = true;
    },
    slow(ms) {
      slowness = ms;
    },
    heal,
    ports: () => [...pairs].flatMap(({ ends: [, upstream] }) => upstream.localPort ?? []),
    async close() {
      reset();
      heal();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
