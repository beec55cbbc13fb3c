import { relative } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that mostly wait, for horizons, leases and processes, the longest first. They begin first, so that no run ends with one. */
const slow = [
  'test/journeys/absence',
  'test/journeys/outages',
  'test/journeys/crashes',
  'test/workers/isolation',
  'test/ledger/embedded',
  'test/workers/',
  'test/api/event-stream',
  'test/journeys/',
];

class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = slow.findIndex((start) => relative(import.meta.dirname, moduleId).startsWith(start));
      return at < 0 ? slow.length : at;
    };
    return (await super.sort(files)).sort((one, other) => place(one) - place(other));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/setup.ts'],
    // Of a busy machine. They cost only what fails; `until` gives up earlier, and says what it waited for.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    // Processes, not threads: tests send signals, kill servers they started, and a crash must not take the other files along.
    pool: 'forks',
    // Most files wait more than they work. More at once would measure the machine.
    maxWorkers: 3,
    sequence: { sequencer: SlowFirst },
  },
});
