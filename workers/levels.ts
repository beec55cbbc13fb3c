/** A lane in which so many wait takes only critical ones for now; the rest wait in the outbox, which costs the queue nothing. */
const fullAt = 2_000;
/** A lane in which so many wait takes nothing. */
const shutAt = 4 * fullAt;
/** How long a full lane is left alone before it is asked again, in milliseconds: it must not run dry meanwhile. */
const restMs = 500;

export interface Levels {
  /** The destinations whose lanes take nothing but critical (`full`), or nothing at all (`shut`). */
  read(): Promise<{ full: string[]; shut: string[] }>;
  /** Notes what a lane took. */
  added(lane: string, rings: readonly { destination: string }[]): Promise<void>;
}

interface Level {
  /** How many more it takes before it has to be asked. */
  room: number;
  is: 'open' | 'full' | 'shut';
  askAt: number;
  /** Who was seen to go there. */
  destinations: Set<string>;
}

/**
 * How full the lanes are, as one relay knows: it asks only when what it added itself since may have filled one. Several relays
 * may therefore fill a lane several times over, and no more.
 */
export function createLevels(waiting: (lane: string) => Promise<number>, now = () => performance.now()): Levels {
  const levels = new Map<string, Level>();

  async function ask(lane: string, level: Level): Promise<void> {
    const found = await waiting(lane);
    level.is = found >= shutAt ? 'shut' : found >= fullAt ? 'full' : 'open';
    level.room = Math.max((level.is === 'open' ? fullAt : shutAt) - found, 0);
    level.askAt = now() + restMs;
    if (level.is === 'open') level.destinations.clear();
  }

  return {
    async read() {
      const at = now();
      const due = [...levels].filter(([, { is, askAt }]) => is !== 'open' && askAt <= at);
      // A queue that cannot be asked takes nothing either.
      await Promise.allSettled(due.map(([lane, level]) => ask(lane, level)));
      const those = (is: Level['is']) =>
        [...levels.values()].filter((level) => level.is === is).flatMap(({ destinations }) => [...destinations]);
      return { full: those('full'), shut: those('shut') };
    },

    async added(lane, rings) {
      const level = levels.get(lane) ?? { room: 0, is: 'open', askAt: 0, destinations: new Set() };
      levels.set(lane, level);
      level.room -= rings.length;
      for (const { destination } of rings) level.destinations.add(destination);
      if (level.room <= 0) await ask(lane, level);
    },
  };
}
