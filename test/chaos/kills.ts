import { setTimeout as delay } from 'node:timers/promises';
import type { Absence } from './freezes.ts';
import { longestStandstill, untilMoving } from './moves.ts';
import type { Parts } from './parts.ts';
import { createRandom } from './random.ts';
import type { Recovery } from './recovery.ts';
import { stormsOn } from './storms.ts';
import { bothWorkers, strikesOn } from './strikes.ts';

/** What became of one kind of fault. */
export interface FaultReport {
  times: number;
  /** Seconds from its end until deliveries were attempted again; null: not in time. */
  back: (number | null)[];
  /** Seconds in which nothing at all was sent while one of two stood still. */
  still: number[];
  /** Anything else worth telling. */
  notes: string[];
}

export interface Kills {
  faults: Record<string, FaultReport>;
  recoveries: Recovery[];
}

/** Each resolves when it is over. One that only takes a part away for a while answers when that was. */
export type Deeds = Record<string, () => Promise<unknown>>;

/** How long peace and faults take, in milliseconds; `stepMs` is about how long one of each takes, which the load is spread over. */
export interface Pace {
  peaceMs: readonly [number, number];
  stepMs: number;
  /** How long something stands still that the others have to do without. */
  absenceMs: readonly [number, number];
  /** A network that is bad for long, and a clock that is wrong. */
  longMs: readonly [number, number];
}
export const steady: Pace = {
  peaceMs: [2_000, 5_000],
  stepMs: 18_000,
  absenceMs: [28_000, 32_000],
  longMs: [12_000, 20_000],
};
export const quick: Pace = {
  peaceMs: [1_000, 2_000],
  stepMs: 14_000,
  absenceMs: [24_000, 26_000],
  longMs: [6_000, 9_000],
};

/**
 * Strikes so many times, each part in turn in a drawn order, and lets the network fail beside every other strike. Resolves when what
 * was struck last is back.
 */
export async function wreak(
  parts: Parts,
  options: {
    kills: number;
    pace: Pace;
    seed: number;
    only: string | null;
    say: (line: string) => void;
    signal: AbortSignal;
  },
): Promise<Kills> {
  const { kills, pace, seed, only, say, signal } = options;
  const random = createRandom(seed, 'kills');
  const done: Kills = { faults: {}, recoveries: [] };
  const wanted = (deeds: Deeds) =>
    Object.fromEntries(Object.entries(deeds).filter(([name]) => !only || name.toLowerCase().includes(only)));
  const strikes = wanted(strikesOn(parts, random, pace, done));
  const storms = wanted(stormsOn(parts, random, pace));
  const nextStrike = deckOf(Object.keys(strikes), random.shuffled);
  const nextStorm = deckOf(Object.keys(storms), random.shuffled);

  for (let n = 1; n <= kills && !signal.aborted; n += 1) {
    await delay(random.int(...pace.peaceMs));
    const strike = nextStrike();
    // What the others do meanwhile is measured in fair weather.
    const fair = strike !== null && (strike === bothWorkers || /stand|vanish/.test(strike));
    const storm = strike === null || (n % 2 === 0 && !fair) ? nextStorm() : null;
    const names = [strike, storm].filter((name) => name !== null);
    if (names.length === 0) throw new Error(`No fault is called anything with "${only}".`);
    say(`fault ${n}/${kills}: ${names.join(', beside ')}`);
    const raging = storm ? commit(parts, done, storm, storms) : undefined;
    if (storm && strike) await delay(random.int(0, 1_500));
    if (strike) await commit(parts, done, strike, strikes);
    await raging;
    const back = await untilMoving(parts);
    for (const name of names) done.faults[name]?.back.push(back);
  }
  return done;
}

async function commit(parts: Parts, { faults }: Kills, name: string, deeds: Deeds): Promise<void> {
  faults[name] ??= { times: 0, back: [], still: [], notes: [] };
  const report = faults[name];
  report.times += 1;
  const result = await deeds[name]?.();
  if (isAbsence(result)) report.still.push(longestStandstill(parts.sandbox, result));
  if (isAbsence(result) && result.within !== undefined) report.notes.push(`${result.within} sessions in a transaction`);
  if (typeof result === 'string') report.notes.push(result);
}

function isAbsence(result: unknown): result is Absence & { within?: number } {
  return typeof result === 'object' && result !== null && 'from' in result && 'to' in result;
}

/** Each name once in a drawn order, and then all over again; null when there are none. */
function deckOf(names: readonly string[], shuffled: (list: readonly string[]) => string[]): () => string | null {
  let deck: string[] = [];
  return () => {
    if (deck.length === 0) deck = shuffled(names);
    return deck.pop() ?? null;
  };
}
