import { setTimeout as delay } from 'node:timers/promises';

/**
 * Asks as clients do: a server that is too busy just now has recorded nothing, and is asked again. On a busy machine that
 * happens to any burst of requests.
 *
 * @param again `isUnavailable` for requests that may be repeated whatever became of the first
 */
export async function patiently<T extends { status: number; body: { type?: string } }>(
  ask: () => Promise<T>,
  again: (answer: T) => boolean = isOverloaded,
): Promise<T> {
  for (let left = 300; ; left--) {
    const answer = await ask();
    if (left === 0 || !again(answer)) return answer;
    await delay(200);
  }
}

export function isUnavailable({ status }: { status: number }): boolean {
  return status === 503;
}

function isOverloaded({ status, body }: { status: number; body: { type?: string } }): boolean {
  return status === 503 && body?.type?.endsWith(':overloaded') === true;
}
