// Loaded into a worker before anything else (`node --import`). Its wall clock then differs from the truth by the milliseconds in the
// file CHAOS_CLOCK, which is read at the start and at every SIGUSR2. Timers and `performance.now()` go on, as they do when a clock is set.
import { readFileSync } from 'node:fs';

const file = process.env.CHAOS_CLOCK;
const Truth = Date;
const trueNow = Date.now;
let offsetMs = 0;

function read(): void {
  if (file) offsetMs = Number(readFileSync(file, 'utf8')) || 0;
}

read();
process.on('SIGUSR2', read);
Truth.now = () => trueNow() + offsetMs;
globalThis.Date = new Proxy(Truth, {
  construct: (target, parts, asked) => Reflect.construct(target, parts.length === 0 ? [Truth.now()] : parts, asked),
  apply: () => new Truth(Truth.now()).toString(),
});
