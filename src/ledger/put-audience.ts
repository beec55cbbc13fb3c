import { configure } from './configure.ts';
import type { Database } from './database.ts';
import { writeAudience } from './write-audience.ts';

/** Makes or replaces one audience. Throws a Refusal that names the members which do not exist. */
export function putAudience(db: Database, name: string, destinations: string[]): Promise<'created' | 'replaced'> {
  return configure(db, (client) => writeAudience(client, name, destinations));
}
