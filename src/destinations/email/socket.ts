import { connect, type Socket } from 'node:net';
import type { Reach } from './settings.ts';

export const connectTimeoutMs = 10_000;

/**
 * A connection to the mail server, by an address that was checked: nodemailer would resolve the name itself, and a second answer could
 * lead into a private network.
 */
export async function open({ resolve, signal }: Reach, host: string, port: number): Promise<Socket> {
  const addresses = await resolve(host);
  const answers = addresses.filter(({ address }) => address);
  signal.throwIfAborted();
  return new Promise((accept, reject) => {
    const socket = connect({
      host,
      port,
      autoSelectFamily: true,
      lookup: (_hostname, options, callback) => {
        const [first] = answers;
        if (options.all || !first) callback(null, answers);
        else callback(null, first.address, first.family);
      },
    });
    const fail = (error: Error) => {
      signal.removeEventListener('abort', aborted);
      socket.destroy();
      reject(error);
    };
    const late = () => {
      const error = new Error('The mail server could not be reached in time.');
      fail(Object.assign(error, { code: 'ETIMEDOUT', syscall: 'connect' }));
    };
    const aborted = () => fail(signal.reason);
    signal.addEventListener('abort', aborted, { once: true });
    socket.setTimeout(connectTimeoutMs, late);
    socket.once('error', fail);
    socket.once('connect', () => {
      signal.removeEventListener('abort', aborted);
      socket.setTimeout(0);
      socket.off('timeout', late);
      socket.off('error', fail);
      accept(socket);
    });
  });
}
