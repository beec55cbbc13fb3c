import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';
import { type Adapter, defineAdapter } from '../../src/destinations/adapter.ts';
import { inspect } from '../../src/destinations/inspect.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { perform, type Task } from '../../src/destinations/perform.ts';
import { slack } from '../../src/destinations/slack/index.ts';
import { until } from '../support/until.ts';
import { noticeOf } from './suite.ts';

const receipt = { at: '2026-11-20T14:02:00.000Z', url: null };

function adapterOf(rest: Partial<Adapter> = {}): Adapter {
  return {
    ...defineAdapter({
      kind: 'odd',
      settings: z.any(),
      secrets: z.any(),
      receipt: z.looseObject({ at: z.string(), url: z.string().nullable() }),
      repeatable: [],
      render: () => 'text',
      deliver: async () => receipt,
    }),
    ...rest,
  };
}

function taskOf(rest: Partial<Task> = {}): Task {
  return {
    action: 'deliver',
    settings: {},
    secrets: {},
    key: 'dl_1',
    revision: 1,
    receipt: null,
    root: null,
    since: new Date(),
    startedAt: new Date(),
    notice: noticeOf('dl_1'),
    timeoutMs: 1_000,
    ...rest,
  };
}

describe('one attempt', () => {
  let sandbox: Sandbox;
  let network: Network;

  beforeAll(async () => {
    sandbox = await startSandbox();
    network = createNetwork({ allowPrivateNetworks: true });
  });
  beforeEach(() => sandbox.reset());
  afterAll(async () => {
    await network.close();
    await sandbox.close();
  });

  const attempt = async (adapter: Adapter, rest: Partial<Task> = {}, signal?: AbortSignal) =>
    (await perform(adapter, taskOf(rest), network, signal)).outcome;

  it('ends at its deadline even where the SDK ignores every signal', async () => {
    const deaf = adapterOf({ deliver: () => new Promise(() => {}) });
    const outcome = await attempt(deaf, { timeoutMs: 50 });
    expect(outcome).toMatchObject({ is: 'fault', fault: { class: 'transient', reason: 'timeout' } });
  });

  it('sends nothing after its deadline, when such an SDK gets round to it', async () => {
    const { promise: late, resolve } = Promise.withResolvers<PromiseSettledResult<unknown>[]>();
    const slow = adapterOf({
      deliver({ fetch, signal }) {
        const send = () => fetch(sandbox.addresses.webhookUrl('late'), { method: 'POST', body: '{}' });
        signal.addEventListener('abort', () => setImmediate(() => resolve(Promise.allSettled([send()]))));
        return new Promise(() => {});
      },
    });
    expect(await attempt(slow, { timeoutMs: 20 })).toMatchObject({ is: 'fault', fault: { reason: 'timeout' } });
    expect(await late).toMatchObject([{ status: 'rejected' }]);
    expect(sandbox.requests()).toEqual([]);
  });

  it('ends when it is interrupted, in doubt if the request had left', async () => {
    const controller = new AbortController();
    sandbox.misbehave('webhook', { do: 'stall' });
    const url = sandbox.addresses.webhookUrl('any');
    const sender = adapterOf({ deliver: ({ fetch }) => fetch(url, { method: 'POST', body: '{}' }) as never });
    const outcome = attempt(sender, {}, controller.signal);
    await sandbox.until(() => sandbox.requests().length === 1);
    controller.abort();
    expect(await outcome).toMatchObject({ is: 'fault', fault: { class: 'ambiguous', reason: 'aborted' } });
    expect(await attempt(sender, {}, controller.signal)).toMatchObject({ fault: { class: 'transient' } });
  });

  it('ends with all others that the same signal interrupts', async () => {
    const controller = new AbortController();
    const begun: string[] = [];
    const waiting = adapterOf({
      deliver: ({ key, signal }) => {
        begun.push(key);
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      },
    });
    const keys = ['dl_1', 'dl_2', 'dl_3'];
    const outcomes = keys.map((key) => attempt(waiting, { key, timeoutMs: 60_000 }, controller.signal));
    await until('the attempts', () => begun.length === keys.length);
    controller.abort();
    for (const outcome of await Promise.all(outcomes)) expect(outcome).toMatchObject({ fault: { reason: 'aborted' } });
  });

  it('gives up for good on a message that cannot be rendered', async () => {
    const broken = adapterOf({
      render() {
        throw new Error('no such emoji');
      },
    });
    const fault = { class: 'permanent', reason: 'render_failed', message: expect.stringContaining('no such emoji') };
    expect(await attempt(broken)).toMatchObject({ is: 'fault', fault });
  });

  it('composes a message once, before its time begins, and composes nothing for a look', async () => {
    const timer = vi.spyOn(globalThis, 'setTimeout');
    const hasBegun = () => timer.mock.calls.some(([, ms]) => ms === 54_321);
    const seen: string[] = [];
    const careful = adapterOf({
      kind: 'careful',
      compose({ message }) {
        seen.push(`composed ${hasBegun()}`);
        return message.title;
      },
      render: (_notice, _settings, content) => content,
      async deliver(_call, payload) {
        seen.push(`sent ${hasBegun()}: ${payload}`);
        return receipt;
      },
      verify: { scheduleSeconds: [1], look: async () => ({ seen: 'absent' }) },
    });
    expect(await attempt(careful, { action: 'verify' })).toMatchObject({ is: 'absent' });
    expect(await attempt(careful, { timeoutMs: 54_321 })).toMatchObject({ is: 'success' });
    expect(await attempt(careful)).toMatchObject({ is: 'success' });
    timer.mockRestore();
    const sent = 'sent true: P1: checkout is down';
    expect(seen).toEqual(['composed false', sent, sent]);
  });

  it('doubts a success without a usable receipt', async () => {
    const vague = adapterOf({ deliver: async () => ({ nothing: true }) });
    expect(await attempt(vague)).toMatchObject({
      is: 'fault',
      fault: { class: 'ambiguous', reason: 'unreadable_reply' },
    });
  });

  it('hands on a receipt as the ledger will store it', async () => {
    const odd = adapterOf({
      deliver: async () => ({ ...receipt, note: 'a\0b\ud800', '\u009bm': [{ more: '\u001b[31m' }] }),
    });
    expect(await attempt(odd)).toEqual({
      is: 'success',
      receipt: { ...receipt, note: 'a\ufffdb\ufffd', '\ufffdm': [{ more: '\ufffd[31m' }] },
    });
  });

  it('doubts a success whose receipt would fill the ledger', async () => {
    const vast = adapterOf({ deliver: async () => ({ ...receipt, note: 'x'.repeat(70_000) }) });
    expect(await attempt(vast)).toMatchObject({
      is: 'fault',
      fault: { class: 'ambiguous', reason: 'unreadable_reply' },
    });
  });

  it('is a fault, whatever is thrown and whatever an adapter makes of it', async () => {
    const unreadable = new Proxy(new Error('no'), {
      get() {
        throw new Error('hands off');
      },
    });
    const odd = { class: 'permanent', reason: {}, message: { toString: 1 }, status: null, retryAfterMs: null };
    const adapters = [
      ...[unreadable, null, undefined, 7, Object.create(null)].map((thrown) =>
        adapterOf({ deliver: () => Promise.reject(thrown) }),
      ),
      adapterOf({ deliver: () => Promise.reject(new Error('no')), classify: () => odd as never }),
      adapterOf({
        load: () => {
          throw new Error('not to be loaded');
        },
        deliver: () => Promise.reject(new Error('no')),
      }),
    ];
    for (const adapter of adapters) {
      const outcome = await attempt(adapter, { secrets: { token: 'half\ud800' } });
      expect(outcome).toMatchObject({
        is: 'fault',
        fault: { reason: expect.any(String), message: expect.any(String) },
      });
    }
  });

  it('sends nothing with a configuration that no longer fits the kind, and fills in what has a default', async () => {
    const settings = z.strictObject({ place: z.string(), size: z.int().default(3) });
    const seen: unknown[] = [];
    const picky = adapterOf({
      settings,
      async deliver(call) {
        seen.push(call.settings);
        return receipt;
      },
    });
    expect(await attempt(picky, { settings: { where: 'x' } })).toMatchObject({
      is: 'fault',
      fault: { class: 'permanent', reason: 'invalid_settings' },
    });
    expect(await attempt(picky, { settings: { place: 'x' } })).toMatchObject({ is: 'success' });
    expect(seen).toEqual([{ place: 'x', size: 3 }]);
  });

  it('claims no change that a kind cannot make', async () => {
    for (const action of ['revise', 'retract'] as const) {
      expect(await attempt(adapterOf(), { action, receipt })).toMatchObject({ fault: { reason: 'not_supported' } });
    }
    expect(await attempt(adapterOf(), { action: 'verify' })).toMatchObject({
      is: 'unclear',
      fault: { class: 'permanent', reason: 'not_supported' },
    });
  });

  it('tells a look that was answered without telling from one that failed', async () => {
    const looking = (look: () => Promise<{ seen: 'unclear'; why: string }>) =>
      attempt(adapterOf({ verify: { scheduleSeconds: [1], look } }), { action: 'verify' });
    expect(await looking(async () => ({ seen: 'unclear', why: 'Too much was said since.' }))).toMatchObject({
      is: 'unclear',
      fault: { class: 'ambiguous', message: 'Too much was said since.', inconclusive: true },
    });
    const failed = await looking(() => Promise.reject(new Error('gone')));
    expect(failed).toMatchObject({ is: 'unclear' });
    expect(failed).not.toHaveProperty('fault.inconclusive');
  });

  it('replies where there is a first message and the kind can, and delivers otherwise', async () => {
    const said: string[] = [];
    const talkative = adapterOf({
      async deliver() {
        said.push('deliver');
        return receipt;
      },
      async reply({ root }) {
        said.push(`reply to ${root.url}`);
        return receipt;
      },
    });
    await attempt(talkative);
    await attempt(talkative, { root: { ...receipt, url: 'the first' } });
    expect(said).toEqual(['deliver', 'reply to the first']);
  });

  it('names the refused address whatever the SDK makes of it', async () => {
    const guarded = createNetwork({ allowPrivateNetworks: false });
    const settings = { channel: 'C0INCIDENTS', apiUrl: sandbox.addresses.slackApiUrl };
    const { outcome } = await perform(slack, taskOf({ settings, secrets: { token: 'xoxb-1' } }), guarded);
    await guarded.close();
    expect(outcome).toMatchObject({ is: 'fault', fault: { class: 'permanent', reason: 'address_refused' } });
    expect(sandbox.requests()).toEqual([]);
  });

  it('inspects a kind that has nothing to ask without asking', async () => {
    expect(await inspect(adapterOf(), taskOf(), network)).toEqual([]);
  });

  it('reports a check that cannot be made as a finding, without secrets', async () => {
    const failing = adapterOf({
      check() {
        throw new Error('the token hunter22 was eaten');
      },
    });
    const findings = await inspect(failing, taskOf({ secrets: { token: 'hunter22' } }), network);
    expect(findings).toEqual([{ name: 'connection', ok: false, detail: 'the token [redacted] was eaten' }]);
  });
});
