import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { until } from '../support/until.ts';

const minute = 60_000;
const clock = new URL('./clock.ts', import.meta.url).href;
/** Says what its clock shows, as a worker would ask it, again and again. */
const program = `
const { performance } = require('node:perf_hooks');
setInterval(() => console.log(JSON.stringify([Date.now(), new Date().getTime(), Date.parse(Date()), performance.now()])), 20);
console.log(JSON.stringify([new Date(0).getTime(), new Date() instanceof Date]));`;

let folder: TemporaryFolder;
beforeEach(async () => {
  folder = await temporaryFolder('clock');
});
afterEach(() => folder.remove());

test('a process whose clock is set shows the wrong time until it is set right, and its timers go on', async () => {
  const file = join(folder.path, 'clock');
  await writeFile(file, String(-10 * minute));
  const child = spawn(process.execPath, [`--import=${clock}`, '-e', program], { env: { CHAOS_CLOCK: file } });
  const said: number[][] = [];
  child.stdout.on('data', (text: Buffer) =>
    said.push(
      ...String(text)
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ),
  );
  const shows = (offset: number) => () => {
    const [now = 0, made = 0, told = 0] = said.at(-1) ?? [];
    return [now, made, told].every((time) => Math.abs(time - offset - Date.now()) < 5 * minute);
  };
  try {
    await until('a clock that is behind', shows(-10 * minute));
    expect(said[0]).toEqual([0, true]);
    await writeFile(file, '0');
    child.kill('SIGUSR2');
    await until('a clock that is right', shows(0));
    const monotonic = said.slice(1).map(([, , , time = 0]) => time);
    expect(monotonic).toEqual([...monotonic].sort((one, other) => one - other));
    expect(monotonic.at(-1)).toBeLessThan(5 * minute);
  } finally {
    child.kill('SIGKILL');
  }
});
