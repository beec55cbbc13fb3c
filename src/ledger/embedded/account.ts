import { execFile } from 'node:child_process';
import { chown, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { StartError } from '../../start-error.ts';

const exec = promisify(execFile);

/** As whom PostgreSQL runs, and how a command is started in that name. */
export interface Account {
  /** What to spawn so that `file args` runs as this account. */
  command(file: string, args: string[]): { file: string; args: string[]; options: { uid?: number; gid?: number } };
  /** Gives a file or folder of ours to the account. */
  own(path: string): Promise<void>;
}

interface Ids {
  uid: number;
  gid: number;
}

/**
 * PostgreSQL refuses to run as root. An ordinary user runs it as itself; root runs it as whoever owns `cluster` already,
 * else as the account `postgres`, which is created where there is none.
 *
 * @param folder where the data lies: the account must be able to reach it
 * @param cluster the data of an earlier start, if there was one
 */
export async function chooseAccount(folder: string, cluster: string, postgres: string): Promise<Account> {
  if (process.getuid?.() !== 0) {
    return { command: (file, args) => ({ file, args, options: {} }), own: async () => {} };
  }
  const ids = (await ownerOf(cluster)) ?? (await accountIds('postgres')) ?? (await createAccount('postgres'));
  const command = await reach(ids, folder, postgres);
  return { command, own: (path) => chown(path, ids.uid, ids.gid) };
}

/** Someone who first ran as an ordinary user and now as root keeps data that both can use. */
async function ownerOf(path: string): Promise<Ids | undefined> {
  const owner = await stat(path).catch(() => undefined);
  return owner && owner.uid !== 0 ? { uid: owner.uid, gid: owner.gid } : undefined;
}

async function accountIds(name: string): Promise<Ids | undefined> {
  try {
    const [uid, gid] = await Promise.all([exec('id', ['-u', name]), exec('id', ['-g', name])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

async function createAccount(name: string): Promise<Ids> {
  const problems: string[] = [];
  for (const [file, ...args] of [
    ['useradd', '--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin', name],
    ['adduser', '-S', '-D', '-H', name], // BusyBox
  ] as [string, ...string[]][]) {
    await exec(file, args).catch((error: Error) => problems.push(error.message.trim()));
    // Asked even after a failure: a process that started beside us may have made the account in that moment.
    const ids = await accountIds(name);
    if (ids) return ids;
  }
  throw new StartError(
    `PostgreSQL refuses to run as root, and the account "${name}" could not be created for it ` +
      `(${problems.join('; ')}). Create it, run as an ordinary user, or set DATABASE_URL.`,
  );
}

/**
 * The folders above the data or the binaries may be closed to the account: a clone under root's mode-700 home is. Then it
 * is lent the right to pass through (CAP_DAC_READ_SEARCH), and only where files were installed under umask 077 also the
 * right to execute them (CAP_DAC_OVERRIDE). The kernel is asked each time, which modes and ACLs read by us could not replace.
 */
async function reach(ids: Ids, folder: string, postgres: string): Promise<Account['command']> {
  const ways: Account['command'][] = [
    (file, args) => ({ file, args, options: ids }),
    lend(ids, '+dac_read_search'),
    lend(ids, '+dac_read_search,+dac_override'),
  ];
  const problems: string[] = [];
  for (const way of ways) {
    const probe = way('/bin/sh', ['-c', 'cd "$1" && exec "$2" -V', 'sh', folder, postgres]);
    try {
      await exec(probe.file, probe.args, { ...probe.options, cwd: '/' });
      return way;
    } catch (error) {
      problems.push((error as Error).message.trim().split('\n').at(-1) ?? '');
    }
  }
  throw new StartError(
    `PostgreSQL refuses to run as root, and the account it runs as instead (uid ${ids.uid}) cannot reach ${folder} ` +
      `or ${postgres}: ${problems.join('; ')}. Keep the data and the installation where every account may pass ` +
      '(TOCSIN_DATA=/var/lib/tocsin), install setpriv (util-linux), run as an ordinary user, or set DATABASE_URL.',
  );
}

function lend({ uid, gid }: Ids, capabilities: string): Account['command'] {
  // access(2) ignores capabilities once the real user is not root, unless no_setuid_fixup is set, and initdb looks for
  // its postgres with access(2).
  const prefix = ['--reuid', `${uid}`, '--regid', `${gid}`, '--clear-groups', '--securebits', '+no_setuid_fixup'];
  const caps = ['--inh-caps', capabilities, '--ambient-caps', capabilities];
  return (file, args) => ({ file: 'setpriv', args: [...prefix, ...caps, '--', file, ...args], options: {} });
}
