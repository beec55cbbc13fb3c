import { z } from 'zod';
import { wording } from '../wording.ts';
import { type Adapter, FaultError } from './adapter.ts';

export interface Configuration {
  settings: unknown;
  secrets: unknown;
}

/** The checked configuration for each stored settings object, and the secrets that it was made with. */
const read = new WeakMap<object, { adapter: Adapter; secrets: unknown; configuration: Configuration }>();

/**
 * A stored configuration as the kind's schema reads it today, with the defaults that it has gained since. Throws a FaultError
 * (`invalid_settings`) when it no longer fits. The same objects are read once.
 */
export function configured(adapter: Adapter, stored: Configuration): Configuration {
  const { settings, secrets } = stored;
  if (typeof settings !== 'object' || settings === null) return readAnew(adapter, stored);
  const known = read.get(settings);
  if (known?.adapter === adapter && known.secrets === secrets) return known.configuration;
  const configuration = readAnew(adapter, stored);
  read.set(settings, { adapter, secrets, configuration });
  return configuration;
}

function readAnew(adapter: Adapter, stored: Configuration): Configuration {
  const settings = adapter.settings.safeParse(stored.settings, { error: wording });
  const secrets = adapter.secrets.safeParse(stored.secrets, { error: wording });
  const error = settings.error ?? secrets.error;
  if (!error) return { settings: settings.data, secrets: secrets.data };
  throw new FaultError({
    class: 'permanent',
    reason: 'invalid_settings',
    message: `The destination must be configured anew: ${z.prettifyError(error)}`,
    status: null,
    retryAfterMs: null,
  });
}
