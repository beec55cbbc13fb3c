import { setImmediate as turn } from 'node:timers/promises';
import { ComposerBusy, composer } from '../destinations/composing.ts';
import { adapterFor } from '../destinations/registry.ts';
import type { composeIntent, Target } from './intent.ts';
import { invalid, Problem } from './problems.ts';

export interface Rendering {
  destination: string;
  kind: string;
  required: boolean;
  payload: unknown;
}

/** How long one request may hold the event loop before others have their turn, in milliseconds. */
const turnMs = 5;

const retryAfterSeconds = 2;

/**
 * Renders for every destination, and hands each rendering to `keep`. What is the same for all destinations of a kind is made once.
 * Throws a 422 when a kind cannot say it, and a 503 when too many long messages are being rendered already.
 */
export async function renderAll(
  { intent, targets, now }: Awaited<ReturnType<typeof composeIntent>>,
  keep: (rendering: Rendering) => void = () => {},
): Promise<void> {
  const { message, topic, correlationId, metadata, id: broadcastId } = intent;
  const about = { message, topic, correlationId, metadata, broadcastId, createdAt: now, crossLinks: [] };
  const contents = new Map<string, unknown>();
  let began = performance.now();
  for (const target of targets) {
    const { name: destination, kind, required, settings, id: key } = target;
    const adapter = adapterFor(kind);
    const notice = { ...about, key, revision: 1, retracted: false };
    try {
      if (adapter && !contents.has(kind))
        contents.set(kind, await composer.compose(adapter, notice, { refusable: true }));
      keep({ destination, kind, required, payload: adapter?.render(notice, settings, contents.get(kind)) });
    } catch (error) {
      throw asProblem(error, target);
    }
    if (performance.now() - began < turnMs) continue;
    await turn();
    began = performance.now();
  }
}

function asProblem(error: unknown, { name, kind }: Target): Problem {
  if (error instanceof Problem) return error;
  if (error instanceof ComposerBusy) {
    return new Problem(503, 'overloaded', `${error.message} Nothing was recorded: try again soon.`, {
      headers: { 'retry-after': String(retryAfterSeconds) },
    });
  }
  const detail = `cannot be put into the form that ${name} (${kind}) takes`;
  return invalid([{ pointer: '/message', detail }], 422);
}
