/** Whoever finds no place comes again so late, in milliseconds, and further ones so much after each other. */
const againMs = 250;
const apartMs = 20;

export interface Bulkhead {
  /** Takes a place, and answers how to leave it; or, when this destination holds all that it may, in how many milliseconds to come again. */
  enter(destination: string): { leave(): void } | { againMs: number };
}

/**
 * Walls within a shared lane: one destination that hangs until its timeouts may hold its own number of places, and not the lane's.
 * Those in front of its wall come again one after another, so that a backlog does not spin.
 */
export function createBulkhead(placesOf: (destination: string) => number, now = () => performance.now()): Bulkhead {
  const held = new Map<string, number>();
  const turns = new Map<string, number>();
  return {
    enter(destination) {
      const holding = held.get(destination) ?? 0;
      if (holding >= placesOf(destination)) {
        const at = now();
        const turn = Math.max(at + againMs, (turns.get(destination) ?? 0) + apartMs);
        turns.set(destination, turn);
        return { againMs: turn - at };
      }
      held.set(destination, holding + 1);
      return {
        leave() {
          const left = (held.get(destination) ?? 1) - 1;
          if (left > 0) return void held.set(destination, left);
          held.delete(destination);
          turns.delete(destination);
        },
      };
    },
  };
}
