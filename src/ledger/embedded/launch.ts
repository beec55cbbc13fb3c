import { type ChildProcess, spawn } from 'node:child_process';
import { open, readFile, rename, stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Account } from './account.ts';
import { PORT } from './address.ts';
import { ENVIRONMENT } from './cluster.ts';

/** What a server is started with, the same each time. */
export interface Plan {
  postgres: string;
  account: Account;
  data: string;
  socketFolder: string;
  logFile: string;
  durable: boolean;
  /** Listens on a free port of 127.0.0.1, too. */
  tcp: boolean;
  /** How long the server may take to start, in milliseconds. */
  patienceMs: number;
}

export interface Launch {
  child: ChildProcess;
  ended: boolean;
  /** What the server said before it ended. */
  complaint(): Promise<Error>;
}

/** A log longer than this is set aside at the next start, in bytes. The one that was set aside before goes. */
const longestLog = 10 * 1024 * 1024;

async function setAside(logFile: string): Promise<void> {
  const { size } = await stat(logFile).catch(() => ({ size: 0 }));
  if (size > longestLog) await rename(logFile, `${logFile}.1`);
}

/** Starts a server in a session of its own. */
export async function launch({ postgres, account, data, socketFolder, logFile, durable, tcp }: Plan): Promise<Launch> {
  const settings = {
    port: tcp ? await freePort() : PORT,
    // Of a network even loopback is everybody's: whoever took the port of a dead server would be sent what is meant for it.
    listen_addresses: tcp ? '127.0.0.1' : '',
    unix_socket_directories: `"${socketFolder.replaceAll('"', '""')}"`,
    max_connections: 400, // ten processes and more may share this server
    shared_buffers: '64MB',
    timezone: 'UTC',
    log_timezone: 'UTC',
    log_checkpoints: 'off', // only what somebody would want to read
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const { file, args: words, options } = account.command(postgres, ['-D', data, ...args]);

  await setAside(logFile);
  // Readable by one account alone: a failed statement is logged with its text.
  const output = await open(logFile, 'a', 0o600);
  await account.own(logFile);
  const { size } = await output.stat();
  try {
    const child = spawn(file, words, {
      ...options,
      cwd: '/', // ours may be closed to the account
      env: { ...ENVIRONMENT, LC_ALL: 'C' },
      stdio: ['ignore', output.fd, output.fd],
      detached: true, // a session of its own: Ctrl-C in the terminal must reach us and not the server
    });
    child.unref();
    const launched: Launch = {
      child,
      ended: false,
      async complaint() {
        const said = (await readFile(logFile)).subarray(size).toString('utf8').trim();
        return new Error(`${said.split('\n').slice(-8).join('\n') || 'it said nothing'} (${logFile})`);
      },
    };
    child.once('exit', () => {
      launched.ended = true;
    });
    child.once('error', (error) => {
      launched.ended = true;
      launched.complaint = async () => error;
    });
    return launched;
  } finally {
    await output.close();
  }
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', resolve);
  });
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
