import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { email } from '../../src/destinations/email/index.ts';
import { newWire } from '../../src/destinations/wire.ts';
import { type Certificate, certificateFor } from '../support/certificate.ts';
import { type MailServer, type Rules, startMailServer } from '../support/mail-server.ts';

const host = 'mail.example';
const password = 'HunterTwoSecret';
const trusted = getCACertificates('default');
let certificate: Certificate;
let server: MailServer | undefined;

beforeAll(() => {
  certificate = certificateFor(host);
  setDefaultCACertificates([...trusted, certificate.cert]);
});
afterEach(() => server?.close());
afterAll(() => setDefaultCACertificates(trusted));

/** What a preflight of a destination at this server finds. Its name is not that of this machine, so that it deserves no trust. */
async function checked(rules: Rules, { user = 'ops', to = ['ops@example.com'] } = {}) {
  server = await startMailServer(rules);
  const found = await email.check?.({
    settings: { from: 'tocsin@example.com', to },
    secrets: { smtpUrl: `smtp://${user ? `${user}:${password}@` : ''}${host}:${server.port}` },
    resolve: async () => [{ address: '127.0.0.1', family: 4 }],
    fetch,
    request: () => Promise.reject(new Error('no HTTP here')),
    wire: newWire(),
    signal: AbortSignal.timeout(20_000),
  });
  return found ?? [];
}

const inClear = () => (server?.heard ?? []).filter(({ encrypted }) => !encrypted).map(({ line }) => line);
const credentials = Buffer.from(`\0ops\0${password}`).toString('base64');

test('a password goes over TLS only, on one connection, whatever is offered on another', async () => {
  const found = await checked({ startTls: { certificate, on: (connection) => connection === 1 } });
  expect(found.map(({ name, ok }) => [name, ok])).toEqual([
    ['server', true],
    ['sender', true],
    ['recipient ops@example.com', true],
  ]);
  expect(server?.heard.map(({ line }) => line)).toContain(`AUTH PLAIN ${credentials}`);
  expect(inClear().every((line) => /^(EHLO|STARTTLS)/.test(line))).toBe(true);
  expect(server?.connections()).toBe(1);
});

test('a server that takes STARTTLS away is not signed in to, and the finding says why', async () => {
  const [found, ...more] = await checked({});
  expect(more).toEqual([]);
  expect(found).toMatchObject({ name: 'server', ok: false, detail: expect.stringContaining('only sent over TLS') });
  expect(inClear().every((line) => /^(EHLO|STARTTLS)/.test(line))).toBe(true);
});

test('a server with a certificate of somebody else is not signed in to', async () => {
  const other = certificateFor('other.example');
  const [found] = await checked({ startTls: { certificate: other, on: () => true } });
  expect(found).toMatchObject({ name: 'server', ok: false });
  expect(server?.heard.some(({ line }) => line.startsWith('AUTH'))).toBe(false);
});

test.each([
  ['one line', 'x'],
  ['many lines', '250-x\r\n'],
])('an answer of %s without an end is cut off, and only what it was to tell stays unknown', async (_, piece) => {
  const [found, recipients] = await checked({ endless: { at: 'MAIL FROM', piece } }, { user: '' });
  expect(found).toMatchObject({ name: 'server', ok: true });
  expect(recipients).toMatchObject({ name: 'recipients', ok: true, detail: expect.stringMatching(/^Not checked/) });
  expect(server?.poured()).toBeLessThan(32 * 1024 * 1024);
});

test.each([
  ['MAIL FROM', '550 5.7.1 Not yours', ['sender'], 'this account may send as'],
  ['RCPT TO', '450 4.2.0 Greylisted', ['recipient ops@example.com'], 'Try again in a few minutes'],
  ['RCPT TO', '550 5.1.1 No such user', ['recipient ops@example.com'], 'Correct the address'],
  ['RCPT TO', 'what?', ['recipient ops@example.com'], 'refuses it'],
  ['EHLO', '421 4.3.2 Going down', ['server'], 'Check host and port'],
])('%s answered by "%s" says what to do', async (command, reply, names, advice) => {
  const found = await checked({ replies: { [command]: reply } }, { user: '' });
  const wrong = found.filter(({ ok }) => !ok);
  expect(wrong.map(({ name }) => name)).toEqual(names);
  expect(wrong[0]?.detail).toContain(advice);
});
