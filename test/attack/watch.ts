// The watcher's own process: asks /healthz all the time, sends critical broadcasts, takes them in at a healthy webhook, and answers names.
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { Pool, request } from 'undici';
import { answerName } from './names.ts';
import type { Order, Said, Watched } from './watcher.ts';

/** Between two questions to /healthz, and between two critical broadcasts, in milliseconds. */
const pingMs = 20;
const criticalMs = 500;
/** What has not been answered for so long is given up, in milliseconds. */
const giveUpMs = 30_000;

const tell = (said: Said) => process.send?.(said);
const named = process.argv[2] === 'names';
let aim: { url: string; apiKey: string; pid: number } | undefined;
let pool: Pool | undefined;
let watching: AbortController | undefined;
let loops: Promise<unknown>[] = [];
let watched = nothing();
let helping: { pid: number; ids: readonly string[] } | undefined;
const posted = new Map<string, number>();

const receiver = createServer((call, response) => {
  let body = '';
  call.on('data', (piece) => (body += piece));
  call.on('end', () => {
    response.end('ok');
    const title = /"title":"(watch \d+)"/.exec(body)?.[1] ?? '';
    const at = posted.get(title);
    if (at === undefined) return;
    posted.delete(title);
    watched.critical.arrived += 1;
    watched.critical.worst = Math.max(watched.critical.worst, performance.now() - at);
  });
});
await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
if (named) {
  const server = createSocket('udp4');
  server.on('message', (question, from) => {
    const answer = answerName(question);
    if (answer) server.send(answer, from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.bind(53, '127.0.0.1', resolve);
  });
}
process.on('message', (order: Order) => {
  obey(order).then(tell, (error) => tell({ failed: String(error) }));
});
process.on('disconnect', () => process.exit());
tell({ ready: true });

async function obey(order: Order): Promise<Said> {
  switch (order.do) {
    case 'aim': {
      aim = order;
      await pool?.destroy();
      pool = new Pool(order.url, { connections: 1, pipelining: 0, headersTimeout: giveUpMs });
      const { port } = receiver.address() as AddressInfo;
      const url = `http://${named ? 'healthy.lab.example' : '127.0.0.1'}:${port}/`;
      const put = await call('PUT', '/destinations/healthy', { kind: 'webhook', settings: { url }, secrets: {} });
      if (put >= 300) throw new Error(`the healthy webhook was not made: ${put}`);
      return { done: 'aim' };
    }
    case 'begin':
      watched = nothing();
      posted.clear();
      watching = new AbortController();
      loops = [ping(watching.signal), sendCriticals(watching.signal)];
      return { done: 'begin' };
    case 'end': {
      watching?.abort();
      await Promise.all(loops);
      const until = performance.now() + order.patienceMs;
      while (posted.size > 0 && performance.now() < until) await delay(50);
      for (const at of posted.values())
        watched.critical.worst = Math.max(watched.critical.worst, performance.now() - at);
      return { done: 'end', watched };
    }
  }
}

/** One question after the other. Each answer's time, and how much of it the kernel kept one of both processes waiting for a core. */
async function ping(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const began = performance.now();
    const before = schedule();
    try {
      const { statusCode, body } = await (pool as Pool).request({ method: 'GET', path: '/healthz' });
      await body.dump();
      if (statusCode !== 200) watched.silence.refused += 1;
    } catch {
      // A process that does not answer at all: what that means shows below, and in whether it lives.
      watched.silence.refused += 1;
    }
    const wall = performance.now() - began;
    watched.silence.pings += 1;
    watched.silence.wall = Math.max(watched.silence.wall, wall);
    watched.silence.held = Math.max(watched.silence.held, heldOf(wall, before, schedule()));
    await delay(pingMs);
  }
}

/** In milliseconds, each since its thread began. */
interface Schedule {
  /** The main thread of the target had a core. */
  ran: number;
  /** The main thread of the target, or this one, was ready to run and had no core. */
  waited: number;
  /** The same for each thread of the target that helps V8, by its id. */
  helpers: Map<string, number>;
}

/**
 * How long the event loop was held in `wall` milliseconds, without the time in which the machine had no core. In the middle of a garbage
 * collection the main thread sleeps until its helpers are done: while one of them has no core, that is the machine's doing, too. What
 * the main thread computed counts in any case.
 */
function heldOf(wall: number, before: Schedule, after: Schedule): number {
  const awake = wall - (after.waited - before.waited);
  const slept = Math.max(0, awake - (after.ran - before.ran));
  const waits = [...after.helpers].map(([id, waited]) => waited - (before.helpers.get(id) ?? waited));
  return awake - Math.min(slept, Math.max(0, ...waits));
}

function schedule(): Schedule {
  const pid = aim?.pid ?? 0;
  const [ran, waited] = times(`/proc/${pid}/schedstat`);
  const helpers = new Map<string, number>();
  for (const id of threadsOf(pid)) helpers.set(id, times(`/proc/${pid}/task/${id}/schedstat`)[1]);
  return { ran, waited: waited + times('/proc/self/schedstat')[1], helpers };
}

function times(file: string): [ran: number, waited: number] {
  try {
    const [ran = 0, waited = 0] = readFileSync(file, 'utf8').split(' ').map(Number);
    return [ran / 1e6, waited / 1e6];
  } catch {
    return [0, 0];
  }
}

/** The threads of the process that help V8. Node.js starts them once. */
function threadsOf(pid: number): readonly string[] {
  if (helping?.pid === pid) return helping.ids;
  try {
    const all = readdirSync(`/proc/${pid}/task`);
    const ids = all.filter((id) => readFileSync(`/proc/${pid}/task/${id}/comm`, 'utf8').startsWith('V8Worker'));
    helping = { pid, ids };
    return ids;
  } catch {
    return [];
  }
}

async function sendCriticals(signal: AbortSignal): Promise<void> {
  const under: Promise<void>[] = [];
  while (!signal.aborted) {
    watched.critical.sent += 1;
    const title = `watch ${Date.now()}${watched.critical.sent}`;
    posted.set(title, performance.now());
    under.push(
      call('POST', '/broadcasts', { message: { title, severity: 'critical' }, destinations: ['healthy'] }).then(
        (status) => status !== 202 && void watched.critical.problems.push(`answered ${status}`),
        (error) => void watched.critical.problems.push(String(error)),
      ) as Promise<void>,
    );
    await delay(criticalMs);
  }
  await Promise.all(under);
}

async function call(method: 'PUT' | 'POST', path: string, body: unknown): Promise<number> {
  const { statusCode, body: said } = await request(`${aim?.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${aim?.apiKey}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(giveUpMs),
  });
  await said.dump();
  return statusCode;
}

function nothing(): Watched {
  return {
    silence: { wall: 0, held: 0, pings: 0, refused: 0 },
    critical: { sent: 0, arrived: 0, worst: 0, problems: [] },
  };
}
