/** So many at a time. A caller without a place waits in the order of arrival, and gets null when that takes too long. */
export function createPlaces(most: number): { enter(patienceMs: number): Promise<(() => void) | null> } {
  let taken = 0;
  const waiting = new Set<() => void>();

  function leave(): void {
    taken -= 1;
    const [next] = waiting;
    next?.();
  }

  return {
    enter(patienceMs) {
      const { promise, resolve } = Promise.withResolvers<(() => void) | null>();
      const settle = (place: (() => void) | null) => {
        clearTimeout(timer);
        waiting.delete(take);
        resolve(place);
      };
      const take = () => {
        taken += 1;
        settle(leave);
      };
      const timer = setTimeout(settle, patienceMs, null);
      waiting.add(take);
      if (taken < most) take();
      return promise;
    },
  };
}
