// The watcher's own process: asks /healthz all the time, sends critical broadcasts, takes them in at a healthy webhook, and answers names.
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
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
    const waitedBefore = waited();
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
    watched.silence.held = Math.max(watched.silence.held, wall - (waited() - waitedBefore));
    await delay(pingMs);
  }
}

/** Milliseconds in which the main thread of the target, or this one, was ready to run and had no core. */
function waited(): number {
  const of = (pid: number | 'self') => {
    try {
      return Number(readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
    } catch {
      return 0;
    }
  };
  return of(aim?.pid ?? 0) + of('self');
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
