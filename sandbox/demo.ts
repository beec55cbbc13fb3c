import { setTimeout as pause } from 'node:timers/promises';
import { type Broadcast, type Delivery, narrate } from './demo/narrate.ts';
import { arm, broadcast, configure, createPlaces, type Place } from './demo/scene.ts';
import { createScreen, paint, type Screen } from './demo/screen.ts';
import { startTocsin, type Tocsin } from './demo/tocsin.ts';
import { showCallback, showPlaces } from './demo/verdict.ts';
import { type Sandbox, startSandbox } from './index.ts';

/** A first start makes a database; anything beyond this is a fault. */
const longestMs = 90_000;
/** How often the broadcast is read: often enough to look alive. */
const lookEveryMs = 100;
/** Where a person watches, a sentence stands for so long before the next one. */
const readMs = process.stdout.isTTY ? 1_500 : 0;

const screen = createScreen(performance.now());
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => interrupt.abort(signal));
}
const limit = setTimeout(() => interrupt.abort('time'), longestMs);

let sandbox: Sandbox | undefined;
let tocsin: Tocsin | undefined;
const wrong: string[] = [];
try {
  sandbox = await startSandbox();
  screen.say(`The sandbox stands in for Slack, Teams, Jira, PagerDuty and your webhooks: ${sandbox.url}`);
  screen.say('Starting Tocsin on an embedded PostgreSQL. It needs nothing else.');
  tocsin = await startTocsin(interrupt.signal);
  wrong.push(...(await play(tocsin, sandbox, screen)));
} catch (error) {
  screen.settle();
  const isLate = interrupt.signal.reason === 'time';
  wrong.push(isLate ? `it was not done after ${longestMs / 1000} s` : (error as Error).message);
} finally {
  clearTimeout(limit);
  if (isInterrupted()) console.error('\nInterrupted: ending Tocsin and removing its data.');
  await tocsin?.stop({ keepLog: wrong.length > 0 && !isInterrupted() });
  await sandbox?.close();
}
if (isInterrupted()) process.exit(130);
if (wrong.length > 0) {
  console.error(`\n${paint('red', 'The demo went wrong:')}\n${wrong.map((each) => `  - ${each}`).join('\n')}`);
  if (tocsin) console.error(`  Tocsin's log: ${tocsin.logFile}`);
}
process.exit(wrong.length > 0 ? 1 : 0);

function isInterrupted(): boolean {
  return String(interrupt.signal.reason).startsWith('SIG');
}

/** Answers what was not as it should be. */
async function play(service: Tocsin, stage: Sandbox, { say, print, settle }: Screen): Promise<string[]> {
  const places = createPlaces(stage);
  await configure(service, places);
  const read = () => pause(readMs, undefined, { signal: interrupt.signal });
  say('Five destinations are configured through the API, and an audience “p1” of all five.');
  await read();
  arm(stage);
  say('It is a bad day: Slack will drop the line, Teams limit rates, the status page answer 500. Now a P1:');
  await read();
  const { id } = await broadcast(service, stage);
  say(`${paint('bold', 'POST /broadcasts')} answered 202: it is on record, and from here on nobody has to care.`);

  const after = await watch(service, id, places);
  settle();
  print();
  if (after.state !== 'delivered') return [`the broadcast ended ${after.state}: ${after.summary}`];
  const seen = showPlaces(screen, stage, places);
  await read();
  print();
  const called = await showCallback(screen, stage, after);
  print();
  const flaws = [...seen, ...called];
  if (flaws.length === 0)
    print(paint('green', 'All five have it, each exactly once, and nobody had to look after it.'));
  return flaws;
}

/** Shows the broadcast until it has converged. */
async function watch({ api }: Tocsin, id: string, places: readonly Place[]): Promise<Broadcast> {
  const before = new Map<string, Delivery>();
  for (;;) {
    const now = await api<Broadcast>('GET', `/broadcasts/${id}`);
    for (const delivery of now.deliveries) {
      const place = places.find(({ name }) => name === delivery.destination);
      const sentence = place && narrate(place, before.get(delivery.destination), delivery);
      if (sentence) screen.say(sentence);
      before.set(delivery.destination, delivery);
    }
    screen.show(now);
    if (now.state !== 'converging') return now;
    await pause(lookEveryMs, undefined, { signal: interrupt.signal });
  }
}
