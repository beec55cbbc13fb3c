import { describe, expect, it } from 'vitest';
import { teamsWorkflow } from '../../src/destinations/teams-workflow/index.ts';
import { following } from '../../src/destinations/teams-workflow/render.ts';
import { faultOf, receiptOf, stage } from './stage.ts';
import { adapterSuite, monster, noticeOf, rendered } from './suite.ts';

adapterSuite(
  teamsWorkflow,
  (sandbox) => ({
    service: 'workflow',
    configuration: { settings: {}, secrets: { url: sandbox.addresses.workflowUrl('ops') } },
    unreachable: { settings: {}, secrets: { url: 'http://127.0.0.1:2/workflows/ops?sig=signature' } },
    // The same card posted twice counts as one: a flow shows both, which is why nothing here is ever repeated by itself.
    texts: () => [...new Set(sandbox.workflow.posts('ops').map(({ card }) => JSON.stringify(card)))],
    followUps: true,
  }),
  { readsReplies: false },
);

describe('teams-workflow', () => {
  const scene = stage(teamsWorkflow);
  const configuration = (name = 'ops') => ({
    settings: {},
    secrets: { url: scene.sandbox.addresses.workflowUrl(name) },
  });

  it('claims no more than that the flow was started', async () => {
    const receipt = receiptOf(await scene.make('deliver', 'dl_1', configuration()));
    expect(receipt).toMatchObject({ accepted: true, url: null, runId: scene.sandbox.workflow.posts('ops')[0]?.runId });
  });

  it('marks what follows an earlier card', async () => {
    const receipt = receiptOf(await scene.make('deliver', 'dl_1', configuration()));
    receiptOf(await scene.make('revise', 'dl_1', configuration(), { receipt, revision: 2 }));
    const notice = noticeOf('dl_1', {}, { retracted: true, revision: 3 });
    receiptOf(await scene.make('retract', 'dl_1', configuration(), { receipt, notice, revision: 3 }));
    expect(scene.sandbox.workflow.posts('ops').map(({ card }) => card.fallbackText)).toEqual([
      'P1: checkout is down',
      'Update: P1: checkout is down',
      'Retracted: P1: checkout is down',
    ]);
  });

  it('knows a flow that was turned off', async () => {
    const fault = faultOf(await scene.make('deliver', 'dl_1', configuration('off')));
    expect(fault).toMatchObject({ class: 'permanent', reason: 'WorkflowTriggerIsNotEnabled', credential: true });
  });

  it('leaves room for what the flow wraps around a card', () => {
    const first = rendered(teamsWorkflow, noticeOf('dl_1', monster), {});
    for (const payload of [first, following(first)]) {
      expect(Buffer.byteLength(JSON.stringify(payload))).toBeLessThanOrEqual(25 * 1024);
    }
  });

  it('takes no URL of the connectors that are gone', () => {
    const url = 'https://example.webhook.office.com/webhookb2/0123';
    expect(teamsWorkflow.secrets.safeParse({ url }).success).toBe(false);
  });
});
