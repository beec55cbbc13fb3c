import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/setup.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Processes, not threads: tests send signals, kill servers they started, and a crash must not take the other files along.
    pool: 'forks',
    // Each file may run its own Redis and many lanes beside the one PostgreSQL; more at once would measure the machine.
    maxWorkers: 2,
  },
});
