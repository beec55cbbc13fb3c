import type { Database } from './ledger/database.ts';
import { readSealed } from './ledger/read-sealed.ts';
import type { Log } from './log.ts';
import { destinationSecrets, SecretKeyError, type Vault } from './secrets.ts';
import { StartError } from './start-error.ts';

/**
 * Throws when this process opens none of the secrets there are: workers could send nothing, and what such an API stores, workers with the
 * right key could not open. One that opens only some of them is told which it does not.
 */
export async function assertKey({ db, vault, log }: { db: Database; vault: Vault; log: Log }): Promise<void> {
  const destinations = await readSealed(db);
  const closed = destinations.filter((destination) => !isOpened(destination, vault)).map(({ name }) => name);
  if (closed.length === 0) return;
  if (closed.length === destinations.length) {
    throw new StartError(
      `This process has another secret key than the one that the ${closed.length} destinations were stored with: give it their ` +
        'TOCSIN_SECRET_KEY (or secret.key file). If that is lost, run the API alone with TOCSIN_SECRET_KEY_LOST=true (npm run api), ' +
        'PUT each destination again with its secrets, and start this anew without that variable.',
    );
  }
  log.error(
    { destinations: closed },
    'these were stored with another secret key, and cannot be sent to: PUT them again with their secrets',
  );
}

function isOpened({ name, secrets }: { name: string; secrets: Buffer }, vault: Vault): boolean {
  try {
    vault.open(secrets, destinationSecrets(name));
    return true;
  } catch (error) {
    if (error instanceof SecretKeyError) return false;
    throw error;
  }
}
