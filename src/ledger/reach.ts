import type { Database } from './database.ts';

/** Resolves when the database answers; rejects otherwise, or when it takes longer than a readiness probe should. */
export async function reach(db: Database, timeoutMs = 2_000): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(reject, timeoutMs, new Error(`no answer within ${timeoutMs} ms`));
  });
  try {
    await Promise.race([db.query('select 1'), late]);
  } finally {
    clearTimeout(timer);
  }
}
