import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TemporaryFolder {
  path: string;
  remove(): Promise<void>;
}

/**
 * A folder for a server of a test. When the test run dies before `remove` (Ctrl-C, kill -9), the servers that left a
 * `.pid` file in it are ended and it is removed all the same.
 */
export async function temporaryFolder(name: string): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), `tocsin-${name}-`));
  cleaner ??= startCleaner();
  cleaner.stdin?.write(`${path}\n`);
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }) };
}

let cleaner: ChildProcess | undefined;

// The kernel closes the pipe whichever way we end, which no exit hook of ours would notice. Removing is repeated, because
// a server that is just ending may still put a file where one was taken away.
const program = `
const { existsSync, readdirSync, readFileSync, rmSync } = require('node:fs');
const tried = (action) => { try { return action(); } catch {} };
function end(folder) {
  for (const file of tried(() => readdirSync(folder, { recursive: true })) ?? []) {
    if (!file.endsWith('.pid')) continue;
    const pid = tried(() => Number.parseInt(readFileSync(folder + '/' + file, 'utf8'), 10));
    // A process that was stopped ends only once it goes on.
    for (const signal of ['SIGQUIT', 'SIGCONT']) tried(() => process.kill(pid, signal));
  }
}
function remove(folder, times) {
  tried(() => rmSync(folder, { recursive: true, force: true }));
  if (times > 0 && existsSync(folder)) setTimeout(remove, 50, folder, times - 1);
}
let paths = '';
process.stdin.on('data', (text) => (paths += text)).on('end', () => {
  const folders = paths.split('\\n').filter(Boolean);
  folders.forEach(end);
  for (const folder of folders) remove(folder, 200);
});
`;

function startCleaner(): ChildProcess {
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  child.on('error', () => {});
  child.unref();
  (child.stdin as Socket | null)?.unref();
  return child;
}
