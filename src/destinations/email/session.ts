import SMTPConnection, { type SMTPConnectionCustomAuthHandler } from 'nodemailer/lib/smtp-connection';
import type { Reach } from './settings.ts';
import { open } from './socket.ts';
import { wayTo } from './way.ts';

export interface Reply {
  code: number;
  text: string;
}

/** A connection to the mail server on which no mail has been begun. */
export interface Session {
  /** Sends a command and resolves with the server's whole answer. */
  say(command: string): Promise<Reply>;
  close(): void;
}

/**
 * Connects and signs in exactly as sending does, on nodemailer's own connection: it sees to TLS and to the size of answers. Further commands
 * go through its hook for ways of signing in, which is the one public way to say something of one's own.
 */
export async function openSession(reach: Reach): Promise<Session> {
  const { options, auth } = wayTo(reach.secrets.smtpUrl);
  reach.wire.requests += 1;
  const socket = await open(reach, options.host, options.port);
  let offer: (send: SendCommand) => void = () => {};
  const talk: SMTPConnectionCustomAuthHandler = ({ sendCommand }) => offer(sendCommand);
  const connection = new SMTPConnection({ ...options, connection: socket, customAuth: { TALK: talk } });

  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => {});
  connection.on('error', fail);
  connection.on('end', () => fail(new Error('The mail server hung up.')));
  const stop = () => {
    fail(reach.signal.reason);
    connection.close();
    socket.destroy();
  };
  reach.signal.addEventListener('abort', stop, { once: true });
  const close = () => {
    reach.signal.removeEventListener('abort', stop);
    connection.close();
  };

  const step = (begin: (done: (error?: Error | null) => void) => void) => {
    const done = new Promise<void>((resolve, reject) => begin((error) => (error ? reject(error) : resolve())));
    return Promise.race([failed, done]);
  };
  try {
    await step((done) => connection.connect(done));
    if (auth && connection.allowsAuth) await step((done) => connection.login(auth, done));
    const given = new Promise<SendCommand>((resolve) => {
      offer = resolve;
    });
    connection.login({ method: 'TALK' }, (error) => error && fail(error));
    const send = await Promise.race([failed, given]);
    const say = async (command: string) => {
      const { status, text } = await Promise.race([failed, send(command)]);
      return { code: status, text };
    };
    return { say, close };
  } catch (error) {
    close();
    throw error;
  }
}

type SendCommand = (command: string) => Promise<{ status: number; text: string }>;
