import type { Configuration } from '../src/destinations/configured.ts';
import type { Claimed } from '../src/ledger/claim.ts';
import { destinationSecrets, type Vault } from '../src/secrets.ts';

/** So many configurations are kept; past that all are forgotten, and read again as they are needed. */
const most = 2_000;

/**
 * Opens a destination's secrets when its configuration changed, and not for every attempt. The same version of a destination gives the
 * same objects, so that what is made of them can be kept too. Throws a SecretKeyError where the secrets cannot be opened.
 */
export function createConfigurations(vault: Vault): (claimed: Claimed) => Configuration {
  const kept = new Map<string, { version: string | null; configuration: Configuration }>();
  return ({ destination, destinationVersion: version, settings, secrets }) => {
    const known = kept.get(destination);
    if (known && known.version === version) return known.configuration;
    const opened = vault.open(secrets ?? Buffer.alloc(0), destinationSecrets(destination));
    if (kept.size >= most) kept.clear();
    const configuration = { settings, secrets: opened };
    kept.set(destination, { version, configuration });
    return configuration;
  };
}
