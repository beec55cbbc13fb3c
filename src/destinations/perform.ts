import type { Action, Fault, Outcome, Receipt } from '../delivery/outcome.ts';
import { type Adapter, FaultError, type Notice, type Place } from './adapter.ts';
import { composer } from './composing.ts';
import { configured } from './configured.ts';
import { deadline } from './deadline.ts';
import { describe, faultFrom } from './faults.ts';
import { cleanJson } from './foreign.ts';
import type { Network } from './network.ts';
import { redactor } from './redact.ts';
import { newWire, observe, type Wire } from './wire.ts';

export interface Task {
  action: Action;
  settings: unknown;
  secrets: unknown;
  key: string;
  revision: number;
  receipt: Receipt | null;
  root: Receipt | null;
  since: Date;
  startedAt: Date;
  place?: Place | null;
  notice: Notice;
  timeoutMs: number;
  /** By the wall's clock: nothing leaves later. */
  leaveBy?: number;
}

export interface Performed {
  outcome: Outcome;
  /** How far the attempt got, for the log. */
  wire: Wire;
}

function fault(reason: string, message: string, verdict: Fault['class'] = 'permanent'): FaultError {
  return new FaultError({ class: verdict, reason, message, status: null, retryAfterMs: null });
}

/** The long part of rendering. Its result, or why there is none. */
function compose(adapter: Adapter, { action, notice }: Task): Promise<() => unknown> {
  if (action === 'verify') return Promise.resolve(() => undefined);
  return composer.compose(adapter, notice).then(
    (content) => () => content,
    (error) => () => {
      throw error;
    },
  );
}

function render(adapter: Adapter, task: Task, composed: () => unknown): unknown {
  try {
    return adapter.render(task.notice, task.settings, composed());
  } catch (error) {
    throw fault('render_failed', `The message could not be rendered: ${describe(error)}`);
  }
}

type AnyCall = Parameters<Adapter['deliver']>[0];

/** The adapter's one call for this task. */
function act(adapter: Adapter, task: Task, call: AnyCall, composed: () => unknown): Promise<unknown> {
  if (task.action === 'deliver') {
    const payload = render(adapter, task, composed);
    const { root } = call;
    return root && adapter.reply ? adapter.reply({ ...call, root }, payload) : adapter.deliver(call, payload);
  }
  const change = task.action === 'revise' ? adapter.revise : adapter.retract;
  if (!change) throw fault('not_supported', `A ${adapter.kind} message cannot be changed once it was sent.`);
  const payload = render(adapter, task, composed);
  if (task.receipt) return change.call(adapter, { ...call, receipt: task.receipt }, payload);
  // Where the key alone finds the message, taking back what may have landed is one more delivery under it.
  if (task.action === 'retract' && adapter.repeatable.includes('deliver')) return adapter.deliver(call, payload);
  throw fault('no_receipt', 'There is no receipt to find the message by.');
}

/** A receipt is stored, and returned with every look at its delivery. An e-mail's may name a hundred refused recipients. */
const receiptLimit = 64 * 1024;

function checked(adapter: Adapter, receipt: unknown, wire: Wire): Receipt {
  const parsed = adapter.receipt.safeParse(receipt);
  const fits = parsed.success && JSON.stringify(parsed.data).length <= receiptLimit;
  if (fits) return cleanJson(parsed.data) as Receipt;
  const { fault: doubt } = fault(
    'unreadable_reply',
    'The service agreed, but does not say where the message is.',
    'ambiguous',
  );
  throw new FaultError({ ...doubt, status: wire.status });
}

async function attempt(adapter: Adapter, task: Task, call: AnyCall, composed: () => unknown): Promise<Outcome> {
  if (task.action !== 'verify') {
    return { is: 'success', receipt: checked(adapter, await act(adapter, task, call, composed), call.wire) };
  }
  if (!adapter.verify) throw fault('not_supported', `A ${adapter.kind} destination cannot be asked what it received.`);
  const look = await adapter.verify.look(call);
  if (look.seen === 'absent') return { is: 'absent' };
  if (look.seen === 'unclear') {
    throw new FaultError({ ...fault('unclear', look.why, 'ambiguous').fault, inconclusive: true });
  }
  // A mark that can no longer be read is taken for the oldest text, which an edit then cures.
  const revision = Number.isInteger(look.revision) && look.revision > 0 ? look.revision : 1;
  return { is: 'landed', receipt: checked(adapter, look.receipt, call.wire), revision };
}

/**
 * The call's way out: guarded by `network`, and ended by the attempt's own signal even where an SDK passes none on.
 */
export function door(network: Network, signal: AbortSignal): Pick<AnyCall, 'fetch' | 'request' | 'resolve'> {
  const either = (other: AbortSignal | null | undefined) =>
    other && other !== signal ? AbortSignal.any([signal, other]) : signal;
  return {
    fetch: (input, init) => network.fetch(input, { ...init, signal: either(init?.signal) } as RequestInit),
    request: (url, options) => network.request(url, { ...options, signal: either(options.signal) }),
    resolve: network.assertPublic,
  };
}

/** Loads what the kind needs, ahead of an attempt. Never rejects: the attempt loads it again, and its outcome tells what failed. */
export async function loaded(adapter: Adapter): Promise<void> {
  try {
    await adapter.load?.();
  } catch {
    // Told by the attempt.
  }
}

/**
 * Makes one attempt and says what it taught. Never throws, and returns at the latest a quarter of a second after `task.timeoutMs`,
 * whatever the SDK does. `signal` interrupts it; what had left by then decides between transient and ambiguous, as always.
 */
export async function perform(
  adapter: Adapter,
  task: Task,
  network: Network,
  signal?: AbortSignal,
): Promise<Performed> {
  const wire = { ...newWire(), ...(task.leaveBy !== undefined && { leaveBy: task.leaveBy }) };
  await loaded(adapter);
  // A long message takes nothing from the time that the attempt has.
  const composed = await compose(adapter, task);
  const limit = deadline(task.timeoutMs, signal);
  try {
    const { key, revision, receipt, root, since, startedAt, place = null } = task;
    const configuration = configured(adapter, task);
    const way = door(network, limit.signal);
    const known = { key, revision, receipt, root, since, startedAt, place };
    const call = { ...configuration, ...known, ...way, wire, signal: limit.signal };
    const work = observe(wire, async () => attempt(adapter, { ...task, ...configuration }, call, composed));
    return { outcome: await Promise.race([work, limit.passed]), wire };
  } catch (error) {
    // SDKs wrap or replace the reason of an abort; ours is the plain one. An answer that came all the same says more.
    const own = limit.signal.aborted && wire.status === null && !(error instanceof FaultError);
    const cause = own ? limit.signal.reason : error;
    const is = task.action === 'verify' ? 'unclear' : 'fault';
    return { outcome: { is, fault: faultFrom(cause, wire, adapter, redactor(task.secrets, task.settings)) }, wire };
  } finally {
    limit.clear();
  }
}
