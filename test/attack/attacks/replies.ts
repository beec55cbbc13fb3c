import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { destinationAt, type HttpKind, httpKinds, make, send } from '../kinds.ts';
import type { Attack } from '../trial.ts';

const megabyte = 1024 * 1024;

/** 400 MB of white space, which any JSON may end with, in 400 kB or 400 bytes. */
const bombs: Record<string, () => Buffer> = {
  // A reply may consist of several packed members; making one and repeating it is quick.
  gzip: () => Buffer.concat(Array(25).fill(gzipSync(Buffer.alloc(16 * megabyte, ' ')))),
  br: () => brotliCompressSync(Buffer.alloc(400 * megabyte, ' '), { params: { [constants.BROTLI_PARAM_QUALITY]: 3 } }),
};

const bomb = (encoding: string): Attack => ({
  name: `replies that unpack to 400 MB (${encoding})`,
  async run(trial) {
    const packed = bombs[encoding]?.() ?? Buffer.alloc(0);
    const { url, heard } = await trial.hostile((response) => {
      response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': encoding });
      response.end(packed);
    });
    const names = httpKinds.map((kind) => [`bomb-${encoding}-${kind}`, destinationAt(kind, url)] as const);
    await make(trial, Object.fromEntries(names));
    const all = names.map(([name]) => name);
    await Promise.all([send(trial, all), send(trial, all)]);
    await trial.wait(10_000, () => heard.length >= 2 * all.length);
    await trial.wait(3_000);
    trial.check(heard.length >= all.length, `${heard.length} requests were answered so`);
    return `two messages to ${all.length} kinds; each reply is ${(packed.length / 1_000).toFixed(1)} kB`;
  },
});

/** A success whose identity is three million characters long, in each kind's own words. */
const receipts: Partial<Record<HttpKind, (long: string) => object>> = {
  slack: (long) => ({ ok: true, channel: `C${long}`, ts: '1700000000.000100', message: { ts: '1700000000.000100' } }),
  teams: (long) => ({ id: long, webUrl: `https://teams.example/${long}`, createdDateTime: '2026-01-01T00:00:00Z' }),
  jira: (long) => ({ id: '10001', key: `OPS-${long}`, self: long }),
  pagerduty: (long) => ({ status: 'success', message: 'ok', dedup_key: long }),
};

const hugeReceipts: Attack = {
  name: 'receipts of 3 MB',
  async run(trial) {
    const long = '1'.repeat(3_000_000);
    const destinations: Record<string, object> = {};
    for (const [kind, receipt] of Object.entries(receipts) as [HttpKind, (long: string) => object][]) {
      const said = JSON.stringify(receipt(long));
      const { url } = await trial.hostile((response: ServerResponse) => {
        response.writeHead(kind === 'jira' || kind === 'teams' ? 201 : kind === 'pagerduty' ? 202 : 200, {
          'content-type': 'application/json',
        });
        response.end(said);
      });
      destinations[`receipt-${kind}`] = destinationAt(kind, url);
    }
    await make(trial, destinations);
    const names = Object.keys(destinations);
    const id = await send(trial, names);
    let stuck: string[] = names;
    await trial.wait(12_000, async () => {
      const deliveries = await trial.settled(id, 0);
      stuck = deliveries.filter(({ state }) => ['pending', 'sending'].includes(state)).map((one) => one.destination);
      return stuck.length === 0;
    });
    trial.check(
      stuck.length === 0,
      `${names.length - stuck.length} of ${names.length} outcomes were recorded ${stuck}`,
    );
    const { bytes } = await trial.api('GET', `/broadcasts/${id}`);
    trial.check(bytes < 100_000, `the broadcast is shown in ${(bytes / 1_000).toFixed(1)} kB`);
    return `successes of ${names.length} kinds with ids of three million characters`;
  },
};

const drips: Attack = {
  name: 'receivers that drip',
  async run(trial) {
    const count = 60;
    const { url, sockets, heard } = await trial.hostile((response) => {
      response.writeHead(200, { 'content-type': 'text/plain' });
      const drop = setInterval(() => response.write('.'), 400);
      response.once('close', () => clearInterval(drop));
    });
    await make(trial, {
      dripping: destinationAt('webhook', url, {
        concurrency: 20,
        timeoutMs: 1_000,
        rateLimit: { max: 100, perMs: 1_000 },
      }),
    });
    for (let n = 0; n < count; n += 1) await send(trial, ['dripping']);
    await trial.wait(15_000, () => heard.length >= count);
    await trial.wait(4_000, () => sockets() === 0);
    trial.check(heard.length >= count, `${heard.length} requests`);
    trial.check(sockets() <= 5, `${sockets()} connections were still open four seconds after the last`);
    return `${count} deliveries whose replies never end`;
  },
};

const noWait: Attack = {
  name: 'Retry-After: 0',
  async run(trial) {
    const limit = (header: () => string) =>
      trial.hostile((response) => {
        response.writeHead(429, { 'retry-after': header() });
        response.end();
      });
    const zero = await limit(() => '0');
    const past = await limit(() => new Date(Date.now() - 5_000).toUTCString());
    const callback = await limit(() => '0');
    const fine = await trial.hostile((response) => void response.end('ok'));
    await make(trial, {
      'again-zero': destinationAt('webhook', zero.url, { maxAttempts: 5 }),
      'again-past': destinationAt('webhook', past.url, { maxAttempts: 5 }),
      'again-fine': destinationAt('webhook', fine.url),
    });
    await send(trial, ['again-zero']);
    await send(trial, ['again-past']);
    const secret = `whsec_${Buffer.alloc(32, 2).toString('base64')}`;
    await send(trial, ['again-fine'], {}, { callback: { url: callback.url, secret } });
    await delay(10_000);
    const counts = [zero, past, callback].map(({ heard }) => heard.length);
    trial.check(
      counts.every((n) => n >= 1),
      'each was asked',
    );
    trial.check(
      counts.every((n) => n <= 10),
      `requests in ten seconds: ${counts.join(', ')}`,
    );
    return '429 that asks for no wait at all: a number, a date that has passed, a callback';
  },
};

export const replies: readonly Attack[] = [bomb('gzip'), bomb('br'), hugeReceipts, drips, noWait];
