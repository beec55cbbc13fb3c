import type { Verdict } from './audit.ts';
import type { FaultReport, Kills } from './kills.ts';
import { kinds } from './places.ts';

/** One run on one queue, over. */
export interface Outcome {
  queue: string;
  seed: number;
  broadcasts: number;
  verdict: Verdict;
  kills: Kills;
  requests: number;
  seconds: { load: number; tail: number };
  /** Ends of processes that nobody asked for. */
  crashes: string[];
  /** Orderly ends that were asked for, and how many of them failed to be orderly. */
  orderly: { done: number; failed: number };
}

/** Recovery is promised within so many seconds of the restart. Said loudly, but no failure: a machine that starves processes is late too. */
const recoveryLimitS = 30;

/** While one of two stands still, the other one goes on: the locks of a transaction that says nothing end after ten seconds or so. */
const standstillLimitS = 20;

/** What is wrong with a run; empty when every promise was kept. */
export function wrongWith({ verdict, kills }: Outcome): string[] {
  const { lost, callbacks, broken } = verdict;
  return [
    ...lost.map((line) => `LOST ${line}`),
    ...kinds.flatMap((kind) => verdict.kinds[kind].duplicated.map((line) => `DUPLICATED ${line}`)),
    ...kinds.flatMap((kind) => verdict.kinds[kind].absent.map((line) => `A LIE ${line}`)),
    ...kinds.flatMap((kind) => verdict.kinds[kind].unheard.map((line) => `LOST, given up unsent: ${line}`)),
    ...kinds.flatMap((kind) => verdict.kinds[kind].unasked.map((line) => `UNKNOWN, but could be asked: ${line}`)),
    ...Object.entries(kills.faults).flatMap(([name, { back, still }]) => [
      ...back.filter((s) => s === null).map(() => `STUCK nothing moved again after: ${name}`),
      ...still.filter((s) => s > standstillLimitS).map((s) => `STOOD STILL for ${s.toFixed(1)} s, all of it: ${name}`),
    ]),
    ...callbacks.missing.map((line) => `LOST ${line}`),
    ...callbacks.more.map((line) => `DUPLICATED ${line}`),
    ...broken.map((line) => `BROKEN ${line}`),
  ];
}

export function print(outcome: Outcome): void {
  const { queue, seed, broadcasts, verdict, kills, seconds } = outcome;
  const rows: [string, string | number][] = [
    ['broadcasts sent', `${broadcasts} × ${kinds.length} (${outcome.requests} requests)`],
    ['accepted', verdict.accepted],
    ['never answered', `${verdict.unanswered} (of which recorded: ${verdict.unansweredRecorded})`],
    ['converged', verdict.converged],
    ['still looked for', verdict.lookedFor],
    ['lost', verdict.lost.length],
    [
      'callbacks',
      `${verdict.callbacks.once} once, ${verdict.callbacks.missing.length} never, ${verdict.callbacks.more.length} more than once`,
    ],
    [
      'attempts',
      `${verdict.attempts.sends} sends (${verdict.attempts.doubtful} doubtful), ${verdict.attempts.looks} looks`,
    ],
    [
      'repeated under one key',
      Object.entries(verdict.repeated)
        .map(([what, n]) => `${what} ${n}`)
        .join(', '),
    ],
    ['duration', `load ${seconds.load.toFixed(0)} s, tail ${seconds.tail.toFixed(0)} s`],
    ['recovery, only worker', kills.recoveries.map(recovery).join('; ') || 'not measured'],
    ['orderly ends', `${outcome.orderly.done} of ${outcome.orderly.done + outcome.orderly.failed}`],
    ['ended by themselves', outcome.crashes.length],
  ];
  console.log(`\n── queue ${queue} · seed ${seed} ${'─'.repeat(60)}`);
  for (const [name, value] of rows) console.log(`${name.padEnd(24)} ${value}`);
  console.log(
    `\n${'kind'.padEnd(12)}${['deliveries', 'confirmed', 'duplicated', 'not there', 'unknown', 'failed'].map((head) => head.padStart(12)).join('')}`,
  );
  for (const kind of kinds) {
    const { deliveries, confirmed, duplicated, absent, unknown, failed } = verdict.kinds[kind];
    const cells = [deliveries, confirmed, duplicated.length, absent.length, unknown.length, failed.length];
    console.log(`${kind.padEnd(12)}${cells.map((cell) => String(cell).padStart(12)).join('')}`);
  }
  console.log('\nwhat was done to it');
  for (const [name, fault] of Object.entries(kills.faults).sort())
    console.log(`${String(fault.times).padStart(5)} × ${name.padEnd(42)} ${told(fault)}`);

  list(
    'unknown, to be looked at',
    kinds.flatMap((kind) => verdict.kinds[kind].unknown),
  );
  list(
    'ended without being confirmed',
    kinds.flatMap((kind) => verdict.kinds[kind].failed),
  );
  list('ended by themselves', outcome.crashes);
  list(
    `LATE: more than ${recoveryLimitS} s`,
    kills.recoveries.filter(({ theirsS }) => theirsS > recoveryLimitS).map(recovery),
  );
  list('WRONG', wrongWith(outcome));
}

function told({ back, still, notes }: FaultReport): string {
  const range = (numbers: readonly number[]) =>
    numbers.length === 0
      ? ''
      : [...new Set([Math.min(...numbers), Math.max(...numbers)].map((s) => s.toFixed(1)))].join('–');
  return [
    `moved again after ${range(back.filter((s) => s !== null)) || '?'} s`,
    still.length > 0 && `nothing was sent for ${range(still)} s meanwhile`,
    notes.join(', '),
  ]
    .filter(Boolean)
    .join('; ');
}

function recovery({ inFlight, firstS, theirsS }: Kills['recoveries'][number]): string {
  return `any after ${firstS.toFixed(1)} s, the ${inFlight} in flight after ${theirsS.toFixed(1)} s`;
}

function list(heading: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  console.log(`\n${heading}`);
  for (const line of lines.slice(0, 20)) console.log(`  ${line}`);
  if (lines.length > 20) console.log(`  … and ${lines.length - 20} more`);
}
