import { clearScreenDown, moveCursor } from 'node:readline';
import { styleText } from 'node:util';
import type { Broadcast, Delivery } from './narrate.ts';

/** A terminal in which sentences scroll by above a table that is redrawn in place; elsewhere, one line for each change. */
export interface Screen {
  /** What happened now. */
  say(line: string): void;
  print(line?: string): void;
  show(broadcast: Broadcast): void;
  /** Leaves the table as it stands. */
  settle(): void;
}

type Style = Parameters<typeof styleText>[0];

const looks: Record<string, { sign: string; style: Style }> = {
  pending: { sign: '·', style: 'dim' },
  sending: { sign: '→', style: 'cyan' },
  verifying: { sign: '?', style: 'magenta' },
  retrying: { sign: '↻', style: 'yellow' },
  held: { sign: '‖', style: 'dim' },
  confirmed: { sign: '✔', style: 'green' },
};
const ended = { sign: '✘', style: 'red' as Style };

const out = process.stdout;

export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: out });
}

export function createScreen(begun: number): Screen {
  const seen = new Map<string, string>();
  let drawn: string[] = [];

  const erase = () => {
    if (drawn.length === 0) return;
    moveCursor(out, 0, -drawn.length);
    clearScreenDown(out);
  };
  const draw = (lines: string[]) => {
    drawn = lines;
    for (const line of lines) out.write(`${line}\n`);
  };
  const clock = () => paint('dim', `${((performance.now() - begun) / 1000).toFixed(1).padStart(5)} s`);

  const print = (line = '') => {
    const table = drawn;
    erase();
    out.write(`${line}\n`);
    draw(table);
  };

  return {
    say: (line) => print(`${clock()}  ${line}`),
    print,
    show(broadcast) {
      if (out.isTTY) {
        erase();
        draw(['', ...broadcast.deliveries.map(row), '', `  ${paint('bold', broadcast.state)}`]);
        return;
      }
      for (const delivery of broadcast.deliveries) {
        const { destination, state, attempt } = delivery;
        const now = `${state} ${attempt}`;
        if (seen.get(destination) === now) continue;
        seen.set(destination, now);
        out.write(`${clock()}${row(delivery)}\n`);
      }
    },
    settle() {
      drawn = [];
    },
  };
}

function row(delivery: Delivery): string {
  const { destination, state } = delivery;
  const { sign, style } = looks[state] ?? ended;
  const head = `  ${sign} ${destination.padEnd(20)} ${state.padEnd(10)} `;
  // A line that wraps would be two, and the cursor would go up too little when the table is redrawn.
  const room = out.isTTY ? Math.max(0, out.columns - head.length - 1) : Number.POSITIVE_INFINITY;
  return `${paint(style, head)}${paint('dim', detail(delivery).slice(0, room))}`;
}

function detail({ state, attempt, maxAttempts, nextAttemptAt, receipt }: Delivery): string {
  if (state === 'confirmed') return receipt?.url ?? '';
  if (nextAttemptAt === null || state === 'pending') return '';
  const seconds = Math.max(0, (Date.parse(nextAttemptAt) - Date.now()) / 1000).toFixed(1);
  return state === 'verifying' ? `looks in ${seconds} s` : `${attempt}/${maxAttempts}, again in ${seconds} s`;
}
