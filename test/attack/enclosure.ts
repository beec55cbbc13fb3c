import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Set in the process that runs within the network of its own. */
const mark = 'TOCSIN_ATTACK_ENCLOSED';

export const enclosed = () => process.env[mark] === '1';

/** The same options in every shell: a network and mounts of its own, of which the outside sees nothing. */
const unshare = ['-n', '-m'];

/**
 * Runs this program again in a network that has only loopback, with a resolver of its own, and ends with its exit code. Answers false,
 * saying why, where that is not possible: it takes root, `unshare` and `ip`.
 */
export async function enclose(args: readonly string[]): Promise<false> {
  const able = spawnSync('unshare', [...unshare, 'ip', 'link', 'set', 'lo', 'up'], { encoding: 'utf8' });
  if (able.status !== 0) {
    const reason = able.error?.message ?? able.stderr.trim();
    console.log(`SKIPPED: silent name servers: there can be no network of its own here (${reason})`);
    return false;
  }
  const folder = mkdtempSync(join(tmpdir(), 'tocsin-attack-'));
  const resolver = join(folder, 'resolv.conf');
  writeFileSync(resolver, 'nameserver 127.0.0.1\n');
  const script = `ip link set lo up && mount --bind "$0" /etc/resolv.conf && exec "$@"`;
  const child = spawn('unshare', [...unshare, 'sh', '-c', script, resolver, process.execPath, ...args], {
    stdio: 'inherit',
    env: { ...process.env, [mark]: '1' },
  });
  // The terminal tells the whole group; whoever tells only this process means the other one, too.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  const status = await new Promise<number>((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
    child.once('error', () => resolve(1));
  });
  rmSync(folder, { recursive: true, force: true });
  process.exit(status);
}
