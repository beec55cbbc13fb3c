import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';

export interface Heard {
  method: string;
  path: string;
  headers: IncomingMessage['headers'];
  body: string;
}

export interface Hostile {
  url: string;
  heard: Heard[];
  /** Connections that are open just now. */
  sockets(): number;
  close(): Promise<void>;
}

/** An HTTP server that reads each request to its end and then does as it is told. */
export async function startHostile(
  handler: (response: ServerResponse, heard: Heard, n: number) => void,
): Promise<Hostile> {
  const heard: Heard[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    const pieces: Buffer[] = [];
    request.on('error', () => {});
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const one = { method, path: url, headers, body: Buffer.concat(pieces).toString() };
      heard.push(one);
      response.on('error', () => {});
      handler(response, one, heard.length - 1);
    });
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    sockets: () => sockets.size,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export interface HostileMail {
  port: number;
  /** The commands that it was told, over all connections. */
  lines: string[];
  close(): Promise<void>;
}

/** A mail server that answers every command as it is told; null: the usual way. */
export async function startHostileMail(
  answer: (line: string, socket: Socket) => string | null | undefined,
): Promise<HostileMail> {
  const lines: string[] = [];
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    socket.write('220 mail.lab.example ESMTP\r\n');
    let rest = '';
    let inData = false;
    socket.on('data', (piece) => {
      rest += piece.toString('latin1');
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end);
        rest = rest.slice(end + 2);
        if (inData && line !== '.') continue;
        inData = /^DATA/i.test(line);
        lines.push(line);
        const said = answer(line, socket);
        if (said === undefined) continue;
        socket.write(said ?? usual(line));
        if (/^QUIT/i.test(line)) socket.end();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    lines,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function usual(line: string): string {
  if (/^EHLO/i.test(line)) return '250-mail.lab.example\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME\r\n';
  if (/^DATA/i.test(line)) return '354 go on\r\n';
  if (/^AUTH/i.test(line)) return '235 2.7.0 welcome\r\n';
  if (/^QUIT/i.test(line)) return '221 bye\r\n';
  return '250 ok\r\n';
}
