/**
 * Lets so many pieces of work begin in each turn of the event loop. The others wait for a later turn, so that timers and sockets get
 * theirs. The returned function resolves when the caller may begin.
 */
export function createTurns(perTurn: number): () => Promise<void> {
  let begun = 0;
  return async () => {
    while (begun >= perTurn) await new Promise(setImmediate);
    if (begun === 0) setImmediate(() => (begun = 0));
    begun += 1;
  };
}
