import { expect, test } from 'vitest';
import { secretsIn } from './secrets.ts';

test('secrets are found wherever a request carries them, and inside addresses too', () => {
  expect(
    secretsIn({
      kind: 'email',
      settings: { from: 'tocsin@example.com' },
      secrets: { smtpUrl: 'smtp://user:pass-word@mail.example.com', token: 'xoxb-1234' },
    }),
  ).toEqual(['smtp://user:pass-word@mail.example.com', 'pass-word', 'xoxb-1234']);
  expect(secretsIn({ callback: { url: 'https://example.com', secret: 'whsec_abcdefgh' } })).toEqual(['whsec_abcdefgh']);
  expect(secretsIn({ secrets: { url: 'https://example.com/run?sig=a-signature' } })).toContain('a-signature');
  expect(secretsIn({ secrets: { email: 'ops@example.com' }, message: { title: 'Nothing here' } })).toEqual([]);
  expect([secretsIn(undefined), secretsIn('text')]).toEqual([[], []]);
});
