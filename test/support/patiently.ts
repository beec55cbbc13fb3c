import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks as clients do: a server that is too busy just now has recorded nothing, and is asked again. On a busy machine that
 * happens to any burst of requests.
 */
export async function patiently<T extends { status: number; body: { type?: string } }>(
  ask: () => Promise<T>,
): Promise<T> {
  for (let left = 300; ; left--) {
    const answer = await ask();
    if (answer.status !== 503 || !answer.body?.type?.endsWith(':overloaded') || left === 0) return answer;
    await delay(200);
  }
}
