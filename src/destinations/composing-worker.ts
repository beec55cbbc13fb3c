// The inside of the thread: composes what it is handed, one message after the other.
import { parentPort } from 'node:worker_threads';
import type { Root } from 'mdast';
import type { Adapter, Said } from './adapter.ts';
import type { Made } from './composing-thread.ts';
import { parse } from './markdown/tree.ts';

/** The last body: several kinds ask for the same one, one after the other. */
let last: { text: string; tree: Root } | undefined;

async function make({ kind, said }: { kind: string; said: Said }): Promise<Made> {
  try {
    // Only the rendering is loaded, without the libraries that speak to the service.
    const { compose }: Pick<Required<Adapter>, 'compose'> = await import(`./${kind}/render.ts`);
    const text = said.message.body ?? '';
    if (last?.text !== text) last = { text, tree: parse(text) };
    return { is: 'made', json: JSON.stringify(compose(said, last.tree)) };
  } catch (error) {
    return { is: 'failed', why: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', async (task) => parentPort?.postMessage(await make(task)));
parentPort?.postMessage('ready');
