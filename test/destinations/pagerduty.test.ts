import { describe, expect, it } from 'vitest';
import { pagerduty } from '../../src/destinations/pagerduty/index.ts';
import { faultOf, receiptOf, stage } from './stage.ts';
import { adapterSuite, monster, noticeOf, rendered } from './suite.ts';

adapterSuite(pagerduty, (sandbox) => {
  const secrets = { routingKey: '0123456789abcdef0123456789abcdef' };
  return {
    service: 'pagerduty',
    configuration: { settings: { apiUrl: sandbox.addresses.pagerdutyApiUrl }, secrets },
    unreachable: { settings: { apiUrl: 'http://127.0.0.1:2/' }, secrets },
    texts: () => sandbox.pagerduty.alerts().map(({ payload }) => JSON.stringify(payload)),
  };
});

describe('pagerduty', () => {
  const scene = stage(pagerduty);
  const configuration = (routingKey = '0123456789abcdef0123456789abcdef') => ({
    settings: { apiUrl: scene.sandbox.addresses.pagerdutyApiUrl },
    secrets: { routingKey },
  });

  it('keeps one incident for a topic, until its first message is retracted', async () => {
    const at = configuration();
    const told = (key: string) => ({ notice: noticeOf(key, {}, { topic: 'INC-1' }) });
    const root = receiptOf(await scene.make('deliver', 'dl_1', at, told('dl_1')));
    const receipt = receiptOf(await scene.make('deliver', 'dl_2', at, { ...told('dl_2'), root }));
    expect(scene.sandbox.pagerduty.alerts()).toMatchObject([{ dedupKey: 'tocsin:INC-1', triggers: 2 }]);
    receiptOf(await scene.make('retract', 'dl_2', at, { ...told('dl_2'), root, receipt }));
    expect(scene.sandbox.pagerduty.alert('tocsin:INC-1')?.state).toBe('triggered');
    receiptOf(await scene.make('retract', 'dl_1', at, { ...told('dl_1'), receipt: root }));
    expect(scene.sandbox.pagerduty.alert('tocsin:INC-1')?.state).toBe('resolved');
  });

  it('blames the routing key when it is refused', async () => {
    const fault = faultOf(await scene.make('deliver', 'dl_1', configuration('bad-0123456789')));
    expect(fault).toMatchObject({ class: 'permanent', reason: 'invalid_routing_key', credential: true });
  });

  it('keeps within the limits of the service', () => {
    const event = rendered(
      pagerduty,
      noticeOf('dl_1', { ...monster, body: '\u0001'.repeat(32 * 1024) }, { topic: 'é'.repeat(300) }),
      {
        apiUrl: 'https://events.pagerduty.com/',
      },
    );
    expect(event.dedup_key.length).toBeLessThanOrEqual(255);
    expect(Buffer.byteLength(JSON.stringify(event))).toBeLessThan(512_000);
  });
});
