import { describe, expect, it } from 'vitest';
import { redactor } from '../../src/destinations/redact.ts';

describe('redaction', () => {
  it('removes every secret, however it is written', () => {
    const secret = 'p@ss/w"rd+1';
    const redact = redactor({ password: secret, nested: { token: 'tok_123456' } });
    for (const form of [secret, encodeURIComponent(secret), JSON.stringify({ secret }), 'tok_123456']) {
      const clean = redact(`it said ${form}, twice: ${form}`);
      expect(clean).not.toContain('ss/w');
      expect(clean).not.toContain(encodeURIComponent('ss/w'));
      expect(clean).not.toContain('123456');
      expect(clean).toContain('it said');
    }
  });

  it('removes the pair that Basic authentication makes of two secrets', () => {
    const redact = redactor({ email: 'ops@example.com', apiToken: 'abcdef' });
    const pair = Buffer.from('ops@example.com:abcdef').toString('base64');
    expect(redact(`sent ${pair}.`)).toBe('sent [redacted].');
  });

  it('removes the parts of a secret address, which work without the rest', () => {
    const redact = redactor({ url: 'https://prod.example.com/workflows/abcdef123/invoke?sig=s3cr3tsig&v=1' });
    expect(redact('POST /workflows/abcdef123/invoke?sig=s3cr3tsig&v=1 failed')).not.toMatch(/abcdef123|s3cr3tsig/);
    expect(redact('the signature s3cr3tsig is wrong')).toBe('the signature [redacted] is wrong');
  });

  it('removes what proves the caller from settings, and leaves the rest of them', () => {
    const settings = {
      url: 'https://user:hunter22@hooks.example.com/in?key=k3y-value',
      headers: { 'x-api-key': 'header-value' },
    };
    const redact = redactor({}, settings);
    expect(redact(`${settings.url} hunter22 k3y-value header-value hooks.example.com/in`)).toBe(
      'https://hooks.example.com/in?[redacted] [redacted] [redacted] [redacted] hooks.example.com/in',
    );
  });

  it('removes what looks like a credential, wherever it came from', () => {
    const redact = redactor();
    expect(redact('authorization: Bearer abc.def-ghi next')).toBe('authorization: [redacted] next');
    expect(redact('{"Authorization":"Basic dXNlcjpwYXNz"}')).not.toContain('dXNlcjpwYXNz');
    expect(redact('xoxb-1-2-abc and whsec_MfKQ9r8G and Bearer abcdefgh1')).not.toMatch(/abc|MfKQ/);
    expect(redact('GET https://a:b@example.com/x?token=1#y')).toBe('GET https://example.com/x?[redacted]');
  });

  it('leaves an ordinary sentence as it is', () => {
    const sentence = 'The receiver answered 503: try https://status.example.com/ later.';
    expect(redactor({ token: 'abc', empty: '' }, null)(sentence)).toBe(sentence);
  });
});
