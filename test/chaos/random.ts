/** Draws that a seed decides. */
export interface Random {
  /** 0 to 1, 1 excluded. */
  next(): number;
  /** A whole number from `min` to `max`, both included. */
  int(min: number, max: number): number;
  pick<T>(list: readonly T[]): T;
  chance(probability: number): boolean;
  shuffled<T>(list: readonly T[]): T[];
}

/**
 * mulberry32. Each part of a run draws from a stream of its own name: how often one of them draws then changes nothing for the others,
 * and a run stays as repeatable as processes that race allow.
 */
export function createRandom(seed: number, name: string): Random {
  let state = seed >>> 0;
  for (const character of name) state = Math.imul(state ^ (character.codePointAt(0) ?? 0), 0x9e3779b1) >>> 0;

  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const int = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));
  return {
    next,
    int,
    pick: <T>(list: readonly T[]) => list[int(0, list.length - 1)] as T,
    chance: (probability) => next() < probability,
    shuffled(list) {
      const deck = [...list];
      for (let last = deck.length - 1; last > 0; last -= 1) {
        const other = int(0, last);
        [deck[last], deck[other]] = [deck[other] as (typeof deck)[number], deck[last] as (typeof deck)[number]];
      }
      return deck;
    },
  };
}
