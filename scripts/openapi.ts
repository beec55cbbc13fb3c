// Writes openapi.yaml from the routes; with --check, says whether it is in step with them.
import { readFile, writeFile } from 'node:fs/promises';
import { describeApi } from '../src/api/describe.ts';

const path = new URL('../openapi.yaml', import.meta.url);
const now = await describeApi();

if (process.argv.includes('--check')) {
  const written = await readFile(path, 'utf8').catch(() => '');
  if (written !== now) {
    const [lines, others] = [written.split('\n'), now.split('\n')];
    const at = others.findIndex((line, index) => line !== lines[index]);
    console.error(`openapi.yaml is not in step with the routes, from line ${at + 1} on:`);
    console.error(`  written: ${lines[at] ?? '(end of file)'}`);
    console.error(`  routes:  ${others[at] ?? '(end of file)'}`);
    console.error('Run `npm run openapi` and commit the result.');
    process.exitCode = 1;
  }
} else {
  await writeFile(path, now);
}
