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

  it('removes what SMTP makes of user and password, in each way of signing in', () => {
    const redact = redactor({ smtpUrl: 'smtps://ops%40example.com:hunter%202@mail.example.com' });
    const base64 = (text: string) => Buffer.from(text).toString('base64');
    const [user, password] = ['ops@example.com', 'hunter 2'];
    const plain = [`\0${user}\0${password}`, `${user}\0${user}\0${password}`, `${user}:${password}`];
    for (const form of [...plain, user, password].map(base64)) {
      expect(redact(`535 5.7.8 you said AUTH ${form}.`)).toBe('535 5.7.8 you said AUTH [redacted].');
    }
    for (const form of [user, password, 'hunter%202', encodeURIComponent(user)]) {
      expect(redact(`535 no ${form} here`)).toBe('535 no [redacted] here');
    }
  });

  it('removes all of two secrets that overlap', () => {
    const redact = redactor({ one: 'abcdef', other: 'defghijk' });
    expect(redact('see abcdefghijk.')).toBe('see [redacted].');
  });

  it('reads no more of a text than 16 KiB', () => {
    const redact = redactor({ token: 'tok_123456' });
    const text = 'It failed. '.repeat(1_600);
    expect(redact(`${text}${'one thing '.repeat(1_000)}`)).toBe(redact(`${text}${'another '.repeat(1_000)}`));
    expect(redact(`${text}more`).endsWith('failed. It…')).toBe(true);
  });

  it('shows no half of a secret where it cuts, even where the rest shrinks to nothing', () => {
    const secret = 'k3y/'.repeat(1_500).slice(0, -1);
    const redact = redactor({ secret });
    for (const other of ['x', 'xy', 'xyz', '']) {
      const clean = redact(other + secret.repeat(4));
      expect(clean).not.toContain('k3y');
    }
    const address = redactor()(
      `${'?'.repeat(16 * 1024 - 40)} then https://ops:hunter22${'2'.repeat(100)}@example.com/`,
    );
    expect(address).not.toContain('hunter');
  });

  it('shows no half of a secret at the end of a text that somebody else has cut', () => {
    const redact = redactor({ token: 'tok 123 456' });
    expect(redact('no: tok 123 4…')).toBe('no:…');
    expect(redact('no: Bearer abc…')).toBe('no: Bearer…');
  });

  it('bears a secret that is not well formed', () => {
    expect(redactor({ token: 'tok_\ud800123' })('it was tok_\ud800123.')).toBe('it was [redacted].');
  });

  it('leaves an ordinary sentence as it is', () => {
    const sentence = 'The receiver answered 503: try https://status.example.com/ later.';
    expect(redactor({ token: 'abc', empty: '' }, null)(sentence)).toBe(sentence);
  });
});
