import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, type Service, startSandbox } from '../../sandbox/index.ts';
import type { Action, Fault, FaultClass, Outcome, Receipt } from '../../src/delivery/outcome.ts';
import type { Adapter, Notice } from '../../src/destinations/adapter.ts';
import { parse } from '../../src/destinations/markdown/tree.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { type Performed, perform, type Task } from '../../src/destinations/perform.ts';
import type { Message } from '../../src/message.ts';

export interface Configuration {
  settings: unknown;
  secrets: unknown;
}

export interface Harness {
  service: Service;
  /** Points at the stand-in. */
  configuration: Configuration;
  /** The same destination where nobody listens. */
  unreachable: Configuration;
  /** The text of every message that a person sees at the destination now: anything in which titles can be found. */
  texts(): string[];
  /** What the kind makes of a status, where that differs from the shared table. */
  statuses?: Record<number, FaultClass>;
  /** True where a revision or a retraction is one more message instead of a change of the first. */
  followUps?: boolean;
}

export interface Transport {
  /** False where the service speaks no HTTP: what depends on statuses and HTTP replies is left out. */
  http?: boolean;
  /** False where the status alone is the answer, and the reply's body is not read. */
  readsReplies?: boolean;
}

const statuses: Record<number, FaultClass> = {
  400: 'permanent',
  401: 'permanent',
  403: 'permanent',
  404: 'permanent',
  408: 'transient',
  410: 'permanent',
  413: 'permanent',
  422: 'permanent',
  425: 'transient',
  500: 'ambiguous',
  502: 'ambiguous',
  503: 'ambiguous',
  504: 'ambiguous',
};

/** Fits nowhere: a title of nothing but escapes, right-to-left text, emoji families, deep nesting, endless words and addresses. */
export const monster: Message = {
  title: '<!channel> & *x* '.repeat(15).slice(0, 256),
  body: `# ${'<@U1>&'.repeat(50)}\n\n${'> '.repeat(40)}deep\n\n\`\`\`\n${'</code>&'.repeat(400)}\n\`\`\`\n\n${'👩‍👩‍👧‍👦'.repeat(300)}\n${'مرحبا بالعالم '.repeat(300)}\n${'x'.repeat(8000)}`,
  severity: 'critical',
  fields: Array.from({ length: 20 }, (_, n) => ({ name: `<${n}>`.padEnd(256, '&'), value: '<é>'.repeat(682) })),
  links: Array.from({ length: 10 }, (_, n) => ({
    text: `|${n}]`.padEnd(256, '>'),
    url: `https://example.com/?a=1&b=|>&n=${n}`.padEnd(2048, 'é'),
  })),
};

/** A notice's payload, composed here and now. */
export function rendered<Settings, Payload>(
  adapter: Pick<Adapter<Settings, unknown, Receipt, Payload>, 'render' | 'compose'>,
  notice: Notice,
  settings: Settings,
): Payload {
  return adapter.render(notice, settings, adapter.compose?.(notice, parse(notice.message.body ?? '')));
}

export function noticeOf(key: string, message: Partial<Message> = {}, rest: Partial<Notice> = {}): Notice {
  return {
    message: { title: 'P1: checkout is down', severity: 'critical', body: 'Rate **42 %**.', ...message },
    key,
    revision: 1,
    retracted: false,
    broadcastId: 'bc_test',
    topic: null,
    correlationId: 'correlation',
    metadata: {},
    createdAt: new Date('2026-11-20T14:02:00.000Z'),
    crossLinks: [],
    ...rest,
  };
}

function secretsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.length >= 4 ? [value] : [];
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(secretsIn) : [];
}

/** What every kind must be able to bear, against its misbehaving stand-in. Abilities that the adapter lacks are left out. */
export function adapterSuite(
  adapter: Adapter,
  harnessOf: (sandbox: Sandbox) => Harness,
  { http = true, readsReplies = true }: Transport = {},
): void {
  describe(adapter.kind, () => {
    let sandbox: Sandbox;
    let network: Network;
    let harness: Harness;

    beforeAll(async () => {
      sandbox = await startSandbox();
      network = createNetwork({ allowPrivateNetworks: true });
      harness = harnessOf(sandbox);
    });
    beforeEach(() => sandbox.reset());
    afterAll(async () => {
      await network.close();
      await sandbox.close();
    });

    async function make(action: Action, key: string, rest: Partial<Task> = {}): Promise<Performed> {
      const { configuration } = harness;
      const task: Task = {
        action,
        settings: adapter.settings.parse(configuration.settings),
        secrets: adapter.secrets.parse(configuration.secrets),
        key,
        revision: 1,
        receipt: null,
        root: null,
        since: new Date(),
        startedAt: new Date(),
        notice: noticeOf(key),
        timeoutMs: 5_000,
        ...rest,
      };
      const performed = await perform(adapter, task, network);
      const told = JSON.stringify(performed.outcome);
      for (const secret of secretsIn(configuration.secrets)) expect(told).not.toContain(secret);
      return performed;
    }

    function faultOf({ outcome }: { outcome: Outcome }): Fault {
      if (outcome.is === 'fault' || outcome.is === 'unclear') return outcome.fault;
      throw new Error(`Expected a fault, but it was: ${JSON.stringify(outcome)}`);
    }

    function receiptOf({ outcome }: { outcome: Outcome }): Receipt {
      if (outcome.is === 'success' || outcome.is === 'landed') return outcome.receipt;
      throw new Error(`Expected a receipt, but it was: ${JSON.stringify(outcome)}`);
    }

    /** After a doubt: found by looking where the kind can look, and not doubled by repeating where it may be repeated. */
    async function resolved(key: string, since: Date, rest: Partial<Task> = {}): Promise<void> {
      if (adapter.verify) {
        const { outcome } = await make('verify', key, { since, ...rest });
        expect(outcome).toMatchObject({ is: 'landed', revision: 1 });
      } else if (adapter.repeatable.includes('deliver')) {
        receiptOf(await make('deliver', key, rest));
      }
    }

    const keyOf = () => `dl_${randomUUID().replaceAll('-', '')}`;
    const requests = () => sandbox.requests(harness.service).length;
    /** What a kind cannot do is no test of it. */
    const when = (able: boolean, title: string, run: () => Promise<void>) => {
      if (able) it(title, run);
    };

    it('delivers with exactly one request, and says where the message is', async () => {
      const performed = await make('deliver', keyOf());
      const receipt = receiptOf(performed);
      expect(Date.parse(receipt.at)).not.toBeNaN();
      expect(receipt).toHaveProperty('url');
      expect(harness.texts()).toEqual([expect.stringContaining('P1: checkout is down')]);
      expect(performed.wire.requests).toBe(1);
      expect(requests()).toBe(1);
    });

    when(
      adapter.repeatable.includes('deliver'),
      'shows one message when a repeatable delivery is repeated under its key',
      async () => {
        const key = keyOf();
        receiptOf(await make('deliver', key));
        receiptOf(await make('deliver', key));
        expect(harness.texts()).toHaveLength(1);
      },
    );

    when(http, 'sorts every refusal by its status, after a single request', async () => {
      for (const [status, expected] of Object.entries({ ...statuses, ...harness.statuses })) {
        sandbox.reset();
        sandbox.misbehave(harness.service, { do: 'refuse', status: Number(status) });
        const performed = await make('deliver', keyOf());
        expect({ status, class: faultOf(performed).class }).toEqual({ status, class: expected });
        expect(requests()).toBe(1);
        expect(harness.texts()).toEqual([]);
      }
    });

    when(http, 'waits as long as a rate limit asks for, and says so when it does not ask', async () => {
      sandbox.misbehave(harness.service, { do: 'rateLimit', retryAfter: 7 }, { do: 'rateLimit', retryAfter: null });
      expect(faultOf(await make('deliver', keyOf()))).toMatchObject({
        class: 'rate_limited',
        status: 429,
        retryAfterMs: 7000,
      });
      expect(faultOf(await make('deliver', keyOf()))).toMatchObject({
        class: 'rate_limited',
        status: 429,
        retryAfterMs: null,
      });
      expect(requests()).toBe(2);
    });

    it('takes a lost reply for a doubt, and finds the message again', async () => {
      const key = keyOf();
      const since = new Date();
      sandbox.misbehave(harness.service, { do: 'swallow' });
      const performed = await make('deliver', key);
      expect(faultOf(performed).class).toBe('ambiguous');
      expect(performed.wire.requests).toBe(1);
      expect(requests()).toBe(1);
      await resolved(key, since);
      expect(harness.texts()).toHaveLength(1);
    });

    when(
      adapter.verify !== undefined,
      'does not find what never arrived, nor the message of another delivery',
      async () => {
        const since = new Date();
        receiptOf(await make('deliver', keyOf()));
        const key = keyOf();
        sandbox.misbehave(harness.service, { do: 'drop' });
        expect(faultOf(await make('deliver', key)).class).toBe('ambiguous');
        expect((await make('verify', key, { since })).outcome).toEqual({ is: 'absent' });
      },
    );

    when(adapter.verify !== undefined, 'cannot tell when the question itself fails', async () => {
      sandbox.misbehave(harness.service, { do: 'drop', on: 'any' });
      expect((await make('verify', keyOf())).outcome.is).toBe('unclear');
    });

    when(http && readsReplies, 'takes a yes that it cannot read for a doubt, and finds the message again', async () => {
      for (const body of ['html', 'truncated', 'empty', 'text'] as const) {
        sandbox.reset();
        const key = keyOf();
        const since = new Date();
        sandbox.misbehave(harness.service, { do: 'garble', body });
        expect({ body, class: faultOf(await make('deliver', key)).class }).toEqual({ body, class: 'ambiguous' });
        await resolved(key, since);
        expect(harness.texts()).toHaveLength(1);
      }
    });

    when(http && readsReplies, 'takes a reply that breaks off for a doubt', async () => {
      const key = keyOf();
      const since = new Date();
      sandbox.misbehave(harness.service, { do: 'breakOff' });
      expect(faultOf(await make('deliver', key)).class).toBe('ambiguous');
      await resolved(key, since);
      expect(harness.texts()).toHaveLength(1);
    });

    when(http && readsReplies, 'takes a yes that unpacks to more than fits for a doubt, and says so', async () => {
      for (const encoding of ['gzip', 'br'] as const) {
        sandbox.reset();
        const key = keyOf();
        const since = new Date();
        sandbox.misbehave(harness.service, { do: 'bomb', encoding });
        const fault = faultOf(await make('deliver', key));
        expect(fault).toMatchObject({ class: 'ambiguous', reason: 'reply_too_long' });
        expect(fault.message).toContain('The reply is longer than 4 MB');
        await resolved(key, since);
        expect(harness.texts()).toHaveLength(1);
      }
    });

    when(http && !readsReplies, 'is satisfied with a yes, however long it goes on', async () => {
      for (const endless of [{ do: 'bomb' }, { do: 'drip' }] as const) {
        sandbox.misbehave(harness.service, endless);
        receiptOf(await make('deliver', keyOf()));
      }
    });

    when(http, 'takes an error after the fact for a doubt, and finds the message again', async () => {
      const key = keyOf();
      const since = new Date();
      sandbox.misbehave(harness.service, { do: 'failAfterApply', status: 503 });
      expect(faultOf(await make('deliver', key))).toMatchObject({ class: 'ambiguous', status: 503 });
      await resolved(key, since);
      expect(harness.texts()).toHaveLength(1);
    });

    it('gives up on a silent service in time, in doubt', async () => {
      sandbox.misbehave(harness.service, { do: 'swallowStall' });
      const key = keyOf();
      const since = new Date();
      const fault = faultOf(await make('deliver', key, { timeoutMs: 1_000 }));
      expect(fault).toMatchObject({ class: 'ambiguous', reason: 'timeout' });
      await resolved(key, since);
      expect(harness.texts()).toHaveLength(1);
    });

    it('knows that nothing was sent where nobody listens', async () => {
      const { settings, secrets } = harness.unreachable;
      const parsed = { settings: adapter.settings.parse(settings), secrets: adapter.secrets.parse(secrets) };
      const performed = await make('deliver', keyOf(), parsed);
      expect(faultOf(performed)).toMatchObject({ class: 'transient', reason: 'connection_refused', status: null });
      expect(performed.wire.sent).toBe('none');
    });

    when(adapter.revise !== undefined, 'revises a message, and revises it again to the same effect', async () => {
      const key = keyOf();
      const since = new Date();
      const receipt = receiptOf(await make('deliver', key));
      const notice = noticeOf(key, { title: 'P1: checkout is back' }, { revision: 2 });
      const revised = receiptOf(await make('revise', key, { receipt, notice, revision: 2 }));
      receiptOf(await make('revise', key, { receipt: revised, notice, revision: 2 }));
      expect(requests()).toBe(3);
      expect(harness.texts()).toHaveLength(harness.followUps ? 2 : 1);
      expect(harness.texts().at(-1)).toContain('P1: checkout is back');
      if (!adapter.verify || harness.followUps) return;
      expect(harness.texts()[0]).not.toContain('P1: checkout is down');
      expect((await make('verify', key, { since })).outcome).toMatchObject({ is: 'landed', revision: 2 });
    });

    when(adapter.retract !== undefined, 'retracts a message, and retracts it again to the same effect', async () => {
      const key = keyOf();
      const receipt = receiptOf(await make('deliver', key));
      const notice = noticeOf(key, {}, { revision: 2, retracted: true });
      const retracted = receiptOf(await make('retract', key, { receipt, notice, revision: 2 }));
      const once = harness.texts();
      receiptOf(await make('retract', key, { receipt: retracted, notice, revision: 2 }));
      expect(harness.texts()).toEqual(once);
      expect(once.length).toBeLessThanOrEqual(harness.followUps ? 2 : 1);
    });

    when(
      adapter.reply !== undefined,
      'replies under the first message of the topic, and finds the reply again',
      async () => {
        const root = receiptOf(await make('deliver', keyOf()));
        const first = receiptOf(await make('deliver', keyOf(), { root }));
        receiptOf(await make('deliver', keyOf(), { root: first }));
        const key = keyOf();
        const since = new Date();
        sandbox.misbehave(harness.service, { do: 'swallow' });
        expect(faultOf(await make('deliver', key, { root })).class).toBe('ambiguous');
        await resolved(key, since, { root });
        expect(harness.texts()).toHaveLength(4);
      },
    );

    it('fits a monstrous message into the limits of the service', async () => {
      const key = keyOf();
      receiptOf(await make('deliver', key, { notice: noticeOf(key, monster) }));
      expect(harness.texts()).toHaveLength(1);
    });

    when(http, 'repeats no secret that the service gives back', async () => {
      const body = { error: secretsIn(harness.configuration.secrets).join(' '), errorMessages: ['no'] };
      sandbox.misbehave(
        harness.service,
        { do: 'refuse', status: 400, body },
        { do: 'garble', body: 'html', status: 500 },
      );
      // `make` itself looks for every secret in what it is told.
      expect(faultOf(await make('deliver', keyOf())).class).toBe('permanent');
      expect(faultOf(await make('deliver', keyOf())).class).toBe('ambiguous');
    });
  });
}
