import { destinationAt, make, send } from '../kinds.ts';
import type { Attack } from '../trial.ts';

const secret = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;
const everyEvent = ['broadcast.converged', 'broadcast.updated', 'delivery.confirmed', 'delivery.dead'];

const callbacks: Attack = {
  name: 'callbacks for every event, with 300 places',
  async run(trial) {
    const fine = await trial.hostile((response) => void response.end('ok'));
    const callback = await trial.hostile((response) => void response.end('ok'));
    const names = Array.from({ length: 300 }, (_, n) => `event-${n}`);
    await make(trial, Object.fromEntries(names.map((name) => [name, destinationAt('webhook', fine.url)])));
    const answered = await trial.api('POST', '/broadcasts', {
      message: { title: 'events', body: 'x'.repeat(20_000) },
      destinations: names,
      callback: { url: callback.url, secret, events: everyEvent },
    });
    const converged = async () =>
      (await trial.api('GET', `/broadcasts/${answered.body.id}`)).body.state !== 'converging';
    let is = false;
    await trial.wait(15_000, async () => {
      is = await converged();
      return is;
    });
    trial.check(is, `converged ${is ? '' : 'not '}within 15 s`);
    const shown = await trial.api('GET', `/broadcasts/${answered.body.id}`);
    trial.check(shown.ms < 2_000, `shown in ${(shown.bytes / 1e6).toFixed(1)} MB after ${shown.ms.toFixed(0)} ms`);
    await trial.wait(4_000);
    return `one broadcast to 300 webhooks, ${callback.heard.length} callbacks so far`;
  },
  leaves: true,
};

const changes: Attack = {
  name: 'many changes of a broadcast with a callback',
  async run(trial) {
    const fine = await trial.hostile((response) => void response.end('ok'));
    await make(trial, { changed: destinationAt('webhook', fine.url, { rateLimit: { max: 1, perMs: 1_000 } }) });
    const more = { callback: { url: fine.url, secret, events: everyEvent } };
    const id = await send(trial, ['changed'], { body: 'x' }, more);
    const statuses: Record<string, number> = {};
    for (let n = 0; n < 150; n += 1) {
      const body = 'y'.repeat(30_000) + n;
      const { status } = await trial.api('PATCH', `/broadcasts/${id}`, { message: { title: `changed ${n}`, body } });
      statuses[status] = (statuses[status] ?? 0) + 1;
    }
    const shown = await trial.api('GET', `/broadcasts/${id}`);
    trial.check(
      shown.bytes < 200_000 && shown.ms < 1_000,
      `shown in ${shown.bytes} bytes after ${shown.ms.toFixed(0)} ms`,
    );
    return `150 changes of 30 kB: ${JSON.stringify(statuses)}`;
  },
};

const reaimed: Attack = {
  name: 'a destination aimed somewhere else without its secrets',
  async run(trial) {
    const attacker = await trial.hostile((response) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end('{"ok":false,"error":"invalid_auth"}');
    });
    const statuses: number[] = [];
    for (const kind of ['slack', 'jira', 'teams', 'pagerduty'] as const) {
      const name = `aimed-${kind}`;
      await make(trial, { [name]: destinationAt(kind, 'http://127.0.0.1:9') });
      const { secrets: _, ...without } = destinationAt(kind, attacker.url) as { secrets: unknown };
      const put = await trial.api('PUT', `/destinations/${name}`, without);
      statuses.push(put.status);
      await trial.api('POST', `/destinations/${name}/test`, {}, { timeoutMs: 30_000 });
    }
    const told = attacker.heard.filter(({ headers, body }) => headers.authorization || body.includes('routing_key'));
    trial.check(
      told.length === 0,
      `the new address was told ${told.length} credentials (answers ${statuses.join(', ')})`,
    );
    return 'four kinds, PUT with another address and no secrets, then a test';
  },
};

const silentNames: Attack = {
  name: 'name servers that say nothing',
  needsNames: true,
  async run(trial) {
    const fine = await trial.hostile((response) => void response.end('ok'));
    await make(trial, {
      'names-fine': destinationAt('webhook', fine.url, { concurrency: 50, rateLimit: { max: 100, perMs: 1_000 } }),
    });
    for (let n = 0; n < 60; n += 1) {
      const url = `http://dead${n}.lab.example:8099/`;
      await send(trial, ['names-fine'], {}, { callback: { url, secret } });
    }
    const places = Array.from({ length: 20 }, (_, n) => `names-${n}`);
    await make(
      trial,
      Object.fromEntries(
        places.map((name, n) => [
          name,
          destinationAt('webhook', `http://deadplace${n}.lab.example:8099`, { maxAttempts: 5 }),
        ]),
      ),
    );
    await send(trial, places);
    await trial.wait(12_000);
    const { body } = await trial.api('GET', '/destinations/healthy');
    trial.check(
      body.breaker?.state !== 'open',
      `the breaker of the healthy place is ${body.breaker?.state ?? body.breaker}`,
    );
    return '60 callbacks and 20 places whose names nobody answers for';
  },
  leaves: true,
};

export const places: readonly Attack[] = [callbacks, changes, reaimed, silentNames];
