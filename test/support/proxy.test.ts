import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type ChaosProxy, startProxy } from './proxy.ts';
import { until } from './until.ts';

let echo: Server;
let proxy: ChaosProxy;
const clients: Socket[] = [];

beforeEach(async () => {
  echo = createServer((socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  }).listen(0, '127.0.0.1');
  await once(echo, 'listening');
  proxy = await startProxy({ host: '127.0.0.1', port: (echo.address() as { port: number }).port });
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await proxy.close();
  await new Promise((resolve) => echo.close(resolve));
});

function call(port = proxy.port) {
  const socket = connect(port, '127.0.0.1');
  clients.push(socket);
  const call = { socket, heard: '', closed: false };
  socket.on('data', (text) => (call.heard += text));
  socket.on('error', () => {});
  socket.on('close', () => (call.closed = true));
  return call;
}

test('passes everything both ways while healthy, and the end after it', async () => {
  const open = call();
  const big = 'x'.repeat(1_000_000);
  open.socket.end(big);
  await until('the end to come back', () => open.closed);
  expect(open.heard.length).toBe(big.length);
  expect(proxy.url('redis://')).toBe(`redis://127.0.0.1:${proxy.port}`);
});

test('a cut ends what is open and what is opened, until it heals', async () => {
  const before = call();
  before.socket.write('hello');
  await until('the echo', () => before.heard === 'hello');
  proxy.cut();
  await until('the open connection to end', () => before.closed);
  const during = call();
  await until('the new connection to end', () => during.closed);
  proxy.heal();
  const after = call();
  after.socket.write('again');
  await until('the echo', () => after.heard === 'again');
});

test('a stall keeps connections open and silent, and loses nothing', async () => {
  const stalled = call();
  stalled.socket.write('1');
  await until('the echo', () => stalled.heard === '1');
  proxy.stall();
  stalled.socket.write('2');
  const other = call();
  other.socket.write('3');
  // What goes round another way proves that the time was long enough for an answer.
  await direct();
  expect([stalled.heard, stalled.closed, other.heard, other.closed]).toEqual(['1', false, '', false]);
  proxy.heal();
  await until('both answers', () => stalled.heard === '12' && other.heard === '3');
});

test('a swallowed connection stays open and says nothing, while new ones work, until it is reset', async () => {
  const before = call();
  before.socket.write('1');
  await until('the echo', () => before.heard === '1');
  proxy.swallow();
  before.socket.write('2');
  const after = call();
  after.socket.write('3');
  await until('the echo', () => after.heard === '3');
  await direct();
  expect([before.heard, before.closed]).toEqual(['1', false]);
  proxy.heal();
  await until('the swallowed connection to end', () => before.closed);
  after.socket.write('4');
  await until('the echo', () => after.heard === '34');
});

test('the target is not told that a swallowed connection ended', async () => {
  const lost = call();
  lost.socket.write('1');
  await until('the echo', () => lost.heard === '1');
  const [port] = proxy.ports();
  expect(port).toBeGreaterThan(0);
  proxy.swallow();
  lost.socket.destroy();
  await direct();
  expect(proxy.ports()).toEqual([port]);
  proxy.heal();
  await until('the target to be told', () => proxy.ports().length === 0);
});

test('a slow network delivers late, and in order', async () => {
  proxy.slow(30);
  const slow = call();
  const started = performance.now();
  slow.socket.write('first');
  await until('the echo', () => slow.heard === 'first');
  expect(performance.now() - started).toBeGreaterThan(55);
  slow.socket.write('second');
  await until('the echo', () => slow.heard === 'firstsecond');
});

test('a target that is down ends the connection', async () => {
  const nobody = await startProxy({ host: '127.0.0.1', port: 1 });
  const lost = call(nobody.port);
  await until('the connection to end', () => lost.closed);
  await nobody.close();
});

async function direct(): Promise<void> {
  const socket = connect((echo.address() as { port: number }).port, '127.0.0.1');
  clients.push(socket);
  socket.write('round');
  await once(socket, 'data');
}
