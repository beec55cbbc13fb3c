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
  /** Passes each piece on after `ms`. */
  slow(ms: number): void;
  /** As if nothing had been: what stalled goes on its way. */
  heal(): void;
  close(): Promise<void>;
}

/** A bad network on command, on loopback, in front of any TCP server. */
export async function startProxy(target: { host: string; port: number }): Promise<ChaosProxy> {
  const sockets = new Set<Socket>();
  let severed = false;
  let slowness = 0;
  let gate: { passed: Promise<void>; pass: () => void } | undefined;

  const channel = () =>
    new Transform({
      async transform(chunk, _encoding, done) {
        if (slowness > 0) await delay(slowness);
        while (gate) await gate.passed;
        done(null, chunk);
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
    const ends = [track(client), track(upstream)] as const;
    client.pipe(channel()).pipe(upstream);
    upstream.pipe(channel()).pipe(client);
    for (const [one, other] of [ends, [...ends].reverse()] as [Socket, Socket][]) {
      one.on('error', () => other.resetAndDestroy());
      one.once('close', () => {
        if (!other.writableEnded) other.destroySoon();
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
    slow(ms) {
      slowness = ms;
    },
    heal,
    async close() {
      reset();
      heal();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
