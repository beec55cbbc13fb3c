import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const repository = fileURLToPath(new URL('../..', import.meta.url));

test('knowing every kind does not load what only Jira needs', async () => {
  const script = `
    import { registerHooks } from 'node:module';
    registerHooks({ resolve(name, context, next) { if (name.startsWith('jira.js')) console.log(name); return next(name, context); } });
    const { adapters } = await import('./src/destinations/registry.ts');
    console.log(Object.keys(adapters).length > 0);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: repository,
  });
  expect(stdout.trim()).toBe('true');
});
