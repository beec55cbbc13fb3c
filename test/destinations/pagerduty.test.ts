import { pagerduty } from '../../src/destinations/pagerduty/index.ts';
import { adapterSuite } from './suite.ts';

adapterSuite('pagerduty', (sandbox) => {
  const secrets = { routingKey: '0123456789abcdef0123456789abcdef' };
  return {
    adapter: pagerduty,
    service: 'pagerduty',
    configuration: { settings: { apiUrl: sandbox.addresses.pagerdutyApiUrl }, secrets },
    unreachable: { settings: { apiUrl: 'http://127.0.0.1:2/' }, secrets },
    texts: () => sandbox.pagerduty.alerts().map(({ payload }) => JSON.stringify(payload)),
  };
});
