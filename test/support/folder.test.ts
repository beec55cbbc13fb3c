import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { alive } from './alive.ts';
import { temporaryFolder } from './folder.ts';
import { until } from './until.ts';

test('a folder goes when it is removed', async () => {
  const folder = await temporaryFolder('folder');
  await writeFile(join(folder.path, 'file'), '');
  await folder.remove();
  expect(existsSync(folder.path)).toBe(false);
});

test('a killed run leaves neither its folder nor the server in it', async () => {
  const program = `
    const { temporaryFolder } = await import(process.argv[1]);
    const { path } = await temporaryFolder('folder');
    const { spawn } = await import('node:child_process');
    const server = spawn('sleep', ['600'], { detached: true, stdio: 'ignore' });
    (await import('node:fs')).writeFileSync(path + '/server.pid', String(server.pid));
    console.log(path + ' ' + server.pid);
    setInterval(() => {}, 1000);
  `;
  const source = new URL('./folder.ts', import.meta.url).href;
  const run = spawn(process.execPath, ['--input-type=module', '-e', program, source], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [path, pid] = String((await once(run.stdout, 'data'))[0])
    .trim()
    .split(' ') as [string, string];
  expect(existsSync(path)).toBe(true);
  run.kill('SIGKILL');
  await until('the folder to go', () => !existsSync(path));
  await until('the server to end', () => !alive(Number(pid)));
});
