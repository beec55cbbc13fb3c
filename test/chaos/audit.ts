import { type LedgerView, readLedger } from './ledger.ts';
import type { Load } from './load.ts';
import type { Parts } from './parts.ts';
import { look, type Seen } from './people.ts';
import { type Kind, kinds } from './places.ts';

export interface KindVerdict {
  deliveries: number;
  confirmed: number;
  /** More than one copy. */
  duplicated: string[];
  /** Confirmed, and not there. */
  absent: string[];
  /** Nobody knows; said with whether it is there. */
  unknown: string[];
  /** Of those: the service could have been asked, and was not. */
  unasked: string[];
  /** Ended without having been confirmed, and its service never heard of it. */
  unheard: string[];
  /** Dead or otherwise ended without being confirmed. */
  failed: string[];
}

export interface Verdict {
  accepted: number;
  unanswered: number;
  /** Of those never answered: recorded all the same, which is allowed, and then they are driven like any other. */
  unansweredRecorded: number;
  converged: number;
  /** Left, in an impatient run, while one of its sends was still being looked for. */
  lookedFor: number;
  /** Accepted, and not there, or not finished. */
  lost: string[];
  kinds: Record<Kind, KindVerdict>;
  callbacks: { once: number; missing: string[]; more: string[] };
  repeated: Seen['repeated'];
  attempts: LedgerView['attempts'];
  /** Any other broken promise. */
  broken: string[];
}

/** Compares what the client was told, what the ledger says, and what people saw. */
export async function audit(
  parts: Parts,
  load: Load,
  { places, patient }: { places: number; patient: boolean },
): Promise<Verdict> {
  const ledger = await readLedger(parts.postgres.directUrl());
  const lookedFor = patient ? new Set<string>() : stillLookedFor(ledger);
  const seen = look(parts.sandbox, places);
  const states = await askForAll(parts, [...load.accepted.values()]);
  const broken = [...ledger.broken, ...load.wrong];
  const lost: string[] = [];
  for (const [n, id] of load.accepted) {
    const state = states.get(id);
    if (state === undefined) lost.push(`${id} (number ${n}) was accepted and is not there`);
    else if (state === 'converging' && !lookedFor.has(id)) lost.push(`${id} (number ${n}) has not converged`);
  }
  for (const [n, ids] of ledger.broadcasts) {
    if (ids.length > 1) broken.push(`number ${n} was recorded ${ids.length} times: ${ids.join(', ')}`);
    const told = load.accepted.get(n);
    if (told && !ids.includes(told)) broken.push(`number ${n} is ${ids}, but its client was told ${told}`);
  }
  const messages = ledger.deliveries.filter(({ role }) => role === 'message');
  const expected = ledger.broadcasts.size * kinds.length;
  if (messages.length !== expected) broken.push(`${messages.length} deliveries instead of ${expected}`);

  return {
    accepted: load.accepted.size,
    unanswered: load.unanswered.length,
    unansweredRecorded: load.unanswered.filter((n) => ledger.broadcasts.has(n)).length,
    converged: [...states.values()].filter((state) => state !== 'converging').length,
    lookedFor: lookedFor.size,
    lost,
    kinds: Object.fromEntries(kinds.map((kind) => [kind, judge(kind, ledger, seen)])) as Verdict['kinds'],
    callbacks: judgeCallbacks(ledger, seen, lookedFor),
    repeated: seen.repeated,
    attempts: ledger.attempts,
    broken,
  };
}

function judge(kind: Kind, { deliveries }: LedgerView, { copies, heard }: Seen): KindVerdict {
  const its = deliveries.filter((delivery) => delivery.role === 'message' && delivery.kind === kind);
  const there = (n: number | null) => (n === null ? [] : (copies[kind].get(n) ?? []));
  const line = ({ id, n, state, log }: (typeof its)[number]) =>
    `${kind} ${id} (number ${n}) ${state}, ${there(n).length} there: ${log}`;
  const ended = its.filter(({ state }) => ['dead', 'expired', 'cancelled', 'superseded'].includes(state));
  return {
    deliveries: its.length,
    confirmed: its.filter(({ state }) => state === 'confirmed').length,
    duplicated: [...copies[kind]]
      .filter(([, all]) => all.length > 1)
      .map(
        ([n, all]) =>
          `${kind} number ${n} is there ${all.length} times (${all.join(', ')}): ${its.find((d) => d.n === n)?.log}`,
      ),
    absent: its.filter(({ n, state }) => state === 'confirmed' && there(n).length === 0).map(line),
    unknown: its.filter(({ state }) => state === 'unknown').map(line),
    unasked: its.filter(({ state, log }) => state === 'unknown' && !log.includes('verify')).map(line),
    unheard: ended.filter(({ n }) => n !== null && !heard[kind].has(n)).map(line),
    failed: ended.map(line),
  };
}

/** Broadcasts of which nothing is open but what is being looked for, and what waits behind such a one. */
function stillLookedFor({ deliveries }: LedgerView): Set<string> {
  const open = deliveries.filter(({ state }) =>
    ['pending', 'sending', 'verifying', 'retrying', 'held'].includes(state),
  );
  const busy = new Set(
    open.filter(({ state }) => state !== 'verifying' && state !== 'held').map((row) => row.broadcastId),
  );
  return new Set(open.map(({ broadcastId }) => broadcastId).filter((id) => !busy.has(id)));
}

function judgeCallbacks(
  { broadcasts, deliveries }: LedgerView,
  { callbacks }: Seen,
  lookedFor: ReadonlySet<string>,
): Verdict['callbacks'] {
  const events = (n: number) => callbacks.get(n)?.length ?? 0;
  const logs = (n: number) =>
    deliveries
      .filter((delivery) => delivery.role === 'callback' && delivery.n === n)
      .map(({ state, log }) => `${state}: ${log}`);
  const numbers = [...broadcasts.keys()];
  return {
    once: numbers.filter((n) => events(n) === 1).length,
    missing: numbers
      .filter((n) => events(n) === 0 && !broadcasts.get(n)?.some((id) => lookedFor.has(id)))
      .map((n) => `no callback for number ${n} (${logs(n).join('; ')})`),
    more: numbers
      .filter((n) => events(n) > 1)
      .map((n) => `${events(n)} callbacks for number ${n} (${logs(n).join('; ')})`),
  };
}

/** Every id a client was ever given, asked for through the API as that client would. */
async function askForAll({ apis, apiKey }: Parts, ids: string[]): Promise<Map<string, string>> {
  const states = new Map<string, string>();
  const left = [...ids];
  const ask = async () => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      const response = await fetch(`${apis[0]?.url}/broadcasts/${id}`, {
        headers: { authorization: `Bearer ${apiKey}` },
      });
      const said = (await response.json()) as { state: string };
      if (response.ok) states.set(id, said.state);
    }
  };
  await Promise.all(Array.from({ length: 10 }, ask));
  return states;
}
