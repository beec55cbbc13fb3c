import { afterAll, beforeAll, beforeEach } from 'vitest';
import { type Sandbox, startSandbox } from '../../sandbox/index.ts';
import type { Action, Fault, Outcome, Receipt } from '../../src/delivery/outcome.ts';
import type { Adapter } from '../../src/destinations/adapter.ts';
import { createNetwork, type Network } from '../../src/destinations/network.ts';
import { type Performed, perform, type Task } from '../../src/destinations/perform.ts';
import { noticeOf } from './suite.ts';

export interface Stage {
  sandbox: Sandbox;
  network: Network;
  make(action: Action, key: string, configuration: object, rest?: Partial<Task>): Promise<Performed>;
}

/** A sandbox and the way to it, for what only one kind has to bear. */
export function stage(adapter: Adapter): Stage {
  const scene = {} as Stage;
  beforeAll(async () => {
    scene.sandbox = await startSandbox();
    scene.network = createNetwork({ allowPrivateNetworks: true });
  });
  beforeEach(() => scene.sandbox.reset());
  afterAll(async () => {
    await scene.network.close();
    await scene.sandbox.close();
  });
  scene.make = (action, key, configuration, rest = {}) => {
    const { settings, secrets } = configuration as { settings: unknown; secrets: unknown };
    const task: Task = {
      action,
      settings: adapter.settings.parse(settings),
      secrets: adapter.secrets.parse(secrets),
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
    return perform(adapter, task, scene.network);
  };
  return scene;
}

export function receiptOf({ outcome }: { outcome: Outcome }): Receipt {
  if (outcome.is === 'success' || outcome.is === 'landed') return outcome.receipt;
  throw new Error(`Expected a receipt, but it was: ${JSON.stringify(outcome)}`);
}

export function faultOf({ outcome }: { outcome: Outcome }): Fault {
  if (outcome.is === 'fault' || outcome.is === 'unclear') return outcome.fault;
  throw new Error(`Expected a fault, but it was: ${JSON.stringify(outcome)}`);
}
