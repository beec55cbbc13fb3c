import { mkdir, stat } from 'node:fs/promises';
import { StartError } from './start-error.ts';

/**
 * Makes the folder of the generated keys and the embedded database where it is missing. Refuses one that every user of the machine may
 * write to: they could replace the keys in it. The mode is given, because a umask of 0 would leave the folder open.
 */
export async function prepareDataFolder(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o755 });
  const { mode } = await stat(dataDir);
  if ((mode & 0o002) === 0) return;
  throw new StartError(
    `Every user of this machine may write to the data folder ${dataDir}, where the keys are: ` +
      `take that right away (chmod o-w '${dataDir}'), or set TOCSIN_DATA to another folder.`,
  );
}
