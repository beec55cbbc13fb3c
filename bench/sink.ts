// Webhook receivers as a process of their own: five ports that answer 204 over bare sockets, so that receiving costs the machine as
// little as possible. The parent asks over IPC what arrived.
import { createServer, type Socket } from 'node:net';

const answer = 'HTTP/1.1 204 No Content\r\n\r\n';
const head = Buffer.from('\r\n\r\n');

/** When each message first arrived at each port, by `<port> <title>`, in milliseconds of the machine's monotonic clock. */
const arrived = new Map<string, number>();
let count = 0;
/** When the newest message arrived, by the same clock. */
let last = 0;

function receive(port: number, socket: Socket): void {
  let rest: Buffer = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on('error', () => {});
  socket.on('data', (chunk) => {
    rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    for (;;) {
      const headEnd = rest.indexOf(head);
      if (headEnd < 0) return;
      const length = Number(/content-length: *(\d+)/i.exec(rest.toString('latin1', 0, headEnd))?.[1] ?? 0);
      const end = headEnd + head.length + length;
      if (rest.length < end) return;
      note(port, rest.toString('latin1', headEnd + head.length, end));
      rest = rest.subarray(end);
      socket.write(answer);
    }
  });
}

function note(port: number, body: string): void {
  count += 1;
  last = Number(process.hrtime.bigint()) / 1e6;
  const title = /"title":"([^"]*)"/.exec(body)?.[1] ?? '';
  const key = `${port} ${title}`;
  if (!arrived.has(key)) arrived.set(key, last);
}

const ports = await Promise.all(
  Array.from({ length: Number(process.argv[2]) }, () => {
    const server = createServer();
    return new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => {
        const { port } = server.address() as { port: number };
        server.on('connection', (socket) => receive(port, socket));
        resolve(port);
      });
    });
  }),
);

process.on('message', (question) => {
  if (question === 'count') process.send?.({ count });
  else if (question === 'take') {
    process.send?.({ count, last, arrived: [...arrived] });
    arrived.clear();
    count = 0;
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ ports });
