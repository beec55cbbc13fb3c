import { type AddressInfo, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Certificate } from './certificate.ts';

/**
 * What a mail server does, in the words of RFC 5321 (4.2: replies; 4.5.3.1: sizes) and RFC 3207 (4: STARTTLS), and what it should not: this one
 * may take its offer of STARTTLS away, refuse any command, or end no line.
 */
export interface Rules {
  /** Offered and served where there is one, by connection: a man in the middle may take the offer away on some of them. */
  startTls?: { certificate: Certificate; on(connection: number): boolean };
  /** Whole replies by the beginning of a command, instead of the usual ones. */
  replies?: Record<string, string>;
  /** The command that is answered without an end: one line, or many. */
  endless?: { at: string; piece: string };
}

export interface MailServer {
  port: number;
  /** What clients said, line by line, with where it was said. */
  heard: { connection: number; line: string; encrypted: boolean }[];
  connections(): number;
  /** Bytes of an endless answer that the client let come. */
  poured(): number;
  close(): Promise<void>;
}

/** More is never poured out, whoever reads it. */
const pouredAtMost = 64 * 1024 * 1024;

export async function startMailServer(rules: Rules = {}): Promise<MailServer> {
  const heard: MailServer['heard'] = [];
  const sockets = new Set<Socket>();
  let connections = 0;
  let poured = 0;

  const server = createServer((plain) => {
    const connection = ++connections;
    sockets.add(plain);
    plain.once('close', () => sockets.delete(plain));
    plain.on('error', () => {});
    const offers = rules.startTls?.on(connection) ? rules.startTls : null;
    plain.write('220 mail.example ESMTP\r\n');
    serve(plain, false);

    function serve(socket: Socket, encrypted: boolean): void {
      let rest = '';
      const listen = (chunk: Buffer) => {
        const lines = (rest + chunk).split('\r\n');
        rest = lines.pop() ?? '';
        for (const line of lines) answer(line);
      };
      socket.on('error', () => {});
      socket.on('data', listen);

      function answer(line: string): void {
        heard.push({ connection, line, encrypted });
        if (rules.endless && line.startsWith(rules.endless.at)) return void pour(socket, rules.endless.piece);
        const own = Object.entries(rules.replies ?? {}).find(([command]) => line.startsWith(command));
        if (own) return void socket.write(`${own[1]}\r\n`);
        if (line.startsWith('EHLO')) {
          const more = !encrypted && offers ? '250-STARTTLS\r\n' : '';
          return void socket.write(`250-mail.example\r\n${more}250 AUTH PLAIN\r\n`);
        }
        if (line === 'STARTTLS' && !encrypted) {
          if (!offers) return void socket.write('502 5.5.1 Command not implemented\r\n');
          socket.off('data', listen);
          socket.write('220 Ready to start TLS\r\n');
          return void serve(new TLSSocket(socket, { isServer: true, ...offers.certificate }), true);
        }
        if (line.startsWith('AUTH')) return void socket.write('235 2.7.0 Accepted\r\n');
        if (line === 'QUIT') return void socket.end('221 Bye\r\n');
        socket.write('250 Ok\r\n');
      }
    }
  });

  function pour(socket: Socket, piece: string): void {
    const data = Buffer.from(piece.repeat(Math.ceil(65_536 / piece.length)));
    const more = () => {
      while (poured < pouredAtMost && !socket.destroyed) {
        poured += data.length;
        if (!socket.write(data)) return void socket.once('drain', more);
      }
    };
    more();
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    heard,
    connections: () => connections,
    poured: () => poured,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
