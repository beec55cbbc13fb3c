import { createHash } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StartError } from '../../start-error.ts';
import type { Account } from './account.ts';

/** Where a server takes connections: a socket that only its own account and root can put there. */
export interface Address {
  /** The folder of the socket. */
  folder: string;
  /** Part of the socket's name. */
  port: number;
}

/** The kernel's limit for the path of a socket: 108 bytes with the final NUL on Linux, 104 elsewhere. */
const MOST_BYTES = process.platform === 'linux' ? 107 : 103;
/** A server that listens on no network keeps PostgreSQL's own port, so that its address stays the same over restarts. */
export const PORT = 5432;

/**
 * The folder of the server's socket. It is the closed folder of the cluster, or one below /tmp where that path is too long. Every
 * process finds the same one.
 */
export async function socketFolder(home: string, account: Account, parent = '/tmp'): Promise<string> {
  if (Buffer.byteLength(join(home, '.s.PGSQL.65535')) <= MOST_BYTES) return home;
  const folder = join(parent, `tocsin-${createHash('sha256').update(home).digest('hex').slice(0, 32)}`);
  const isNew = await mkdir(folder, { mode: 0o700 }).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );
  if (isNew) await account.own(folder);
  // Anybody may have made a folder of that name before us, and could then read what we send to a server of theirs.
  const owner = (await lstat(home)).uid;
  const found = await lstat(folder);
  if (found.isDirectory() && (found.mode & 0o077) === 0 && [owner, process.getuid?.()].includes(found.uid)) {
    await account.own(folder);
    return folder;
  }
  throw new StartError(
    `The embedded PostgreSQL in ${home} needs ${folder} for its socket, because its own path is too long for one, ` +
      'and that belongs to somebody else: remove it, or set TOCSIN_DATA to a shorter path.',
  );
}

/** The URL of a database behind a socket, as libpq writes it and pg reads it. */
export function socketUrl({ folder, port }: Address, name: string, password: string): string {
  return `postgres://${name}:${password}@${encodeURIComponent(folder)}:${port}/${name}`;
}
