import { readSealed } from '../src/ledger/read-sealed.ts';
import { destinationSecrets, SecretKeyError, type Vault } from '../src/secrets.ts';
import { StartError } from '../src/start-error.ts';
import type { Parts } from './parts.ts';

/**
 * Throws when this process opens none of the secrets there are: it would end delivery after delivery as dead, beside workers with the
 * right key too. One that opens only some of them is told which it does not.
 */
export async function assertKey({ db, vault, log }: Pick<Parts, 'db' | 'vault' | 'log'>): Promise<void> {
  const destinations = await readSealed(db);
  const closed = destinations.filter((destination) => !isOpened(destination, vault)).map(({ name }) => name);
  if (closed.length === 0) return;
  if (closed.length === destinations.length) {
    throw new StartError(
      `This process has another secret key than the one that the ${closed.length} destinations were stored with: give it their ` +
        'TOCSIN_SECRET_KEY (or secret.key file). If that is lost, run the API alone (npm run api), PUT each destination again ' +
        'with its secrets, and start this anew.',
    );
  }
  log.error(
    { destinations: closed },
    'these were stored with another secret key, and cannot be sent to: PUT them again',
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
