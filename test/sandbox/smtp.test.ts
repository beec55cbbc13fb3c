import { createTransport, type SendMailOptions } from 'nodemailer';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Fault, type Sandbox, startSandbox } from '../../sandbox/index.ts';

let sandbox: Sandbox;
beforeAll(async () => {
  sandbox = await startSandbox();
});
beforeEach(() => sandbox.reset());
afterAll(() => sandbox.close());

const TO = 'oncall@example.com';

async function send(over: SendMailOptions = {}, socketTimeout = 5000) {
  const transport = createTransport({ url: sandbox.addresses.smtpUrl, socketTimeout });
  try {
    return await transport.sendMail({ from: 'tocsin@example.com', to: TO, subject: 'x', text: 'x', ...over });
  } finally {
    transport.close();
  }
}
const refusal = (sent: Promise<unknown>) =>
  sent.then(
    () => {
      throw new Error('it was accepted');
    },
    (reason) => reason as { code: string; responseCode?: number; command?: string },
  );
const mails = () => sandbox.smtp.mailbox(TO).length;
const misbehave = (...faults: Fault[]) => sandbox.misbehave('smtp', ...faults);

test('a mail lies in its mailbox with the headers and both texts as people read them', async () => {
  const sent = await send({
    messageId: '<dl_1.abc@notify.example>',
    inReplyTo: '<dl_0.abc@notify.example>',
    references: ['<dl_0.abc@notify.example>'],
    subject: '[P1] Zahlung gestört – checkout is down, and this subject is long enough to be folded somewhere',
    headers: { 'X-Tocsin-Delivery': 'dl_1' },
    text: 'Größe: 42 %\nsecond line',
    html: '<p>Größe: <b>42 %</b></p>',
  });
  expect(sent.accepted).toEqual([TO]);
  const [mail] = sandbox.smtp.mailbox(TO.toUpperCase());
  expect(mail?.headers).toMatchObject({
    'message-id': '<dl_1.abc@notify.example>',
    'in-reply-to': '<dl_0.abc@notify.example>',
    references: '<dl_0.abc@notify.example>',
    subject: '[P1] Zahlung gestört – checkout is down, and this subject is long enough to be folded somewhere',
    'x-tocsin-delivery': 'dl_1',
  });
  expect(mail).toMatchObject({ text: 'Größe: 42 %\nsecond line', html: '<p>Größe: <b>42 %</b></p>' });
});

test('nobody is not here, and a bad password does not get in', async () => {
  expect(await refusal(send({ to: 'nobody@example.com' }))).toMatchObject({ code: 'EENVELOPE', responseCode: 550 });
  const transport = createTransport({ url: sandbox.addresses.smtpUrl.replace('//', '//user:bad@') });
  expect(await refusal(transport.sendMail({ from: 'a@b.example', to: TO, text: 'x' }))).toMatchObject({
    code: 'EAUTH',
  });
});

test('refuse, rateLimit and error answer the recipient before anything was sent', async () => {
  misbehave({ do: 'refuse', status: 450 }, { do: 'rateLimit' }, { do: 'error', code: '552 mailbox full' });
  const codes: unknown[] = [];
  for (let n = 0; n < 3; n += 1) codes.push((await refusal(send())).responseCode);
  expect(codes).toEqual([450, 451, 552]);
  expect(mails()).toBe(0);
  expect(sandbox.requests('smtp').map(({ status }) => status)).toEqual([450, 451, 552]);
});

test('drop cuts the connection before the mail', async () => {
  misbehave({ do: 'drop' });
  await refusal(send());
  expect(mails()).toBe(0);
});

test('swallow takes the mail and cuts the connection before the last reply', async () => {
  misbehave({ do: 'swallow', place: TO });
  await refusal(send());
  expect(mails()).toBe(1);
  expect(sandbox.requests('smtp')).toMatchObject([{ place: TO, fault: 'swallow', status: null }]);
});

test.each([
  ['stall', 0],
  ['swallowStall', 1],
] as const)('%s never answers the final dot, having taken %i', async (kind, count) => {
  misbehave({ do: kind });
  expect(await refusal(send({}, 200))).toMatchObject({ code: 'ETIMEDOUT' });
  expect(mails()).toBe(count);
});

test('slow answers the final dot afterwards', async () => {
  misbehave({ do: 'slow', ms: 60 });
  const sent = send();
  await sandbox.until(() => mails() === 1);
  expect(sandbox.requests('smtp')[0]?.status).toBeNull();
  expect((await sent).response).toMatch(/^250 /);
});

test('late cuts the connection first and takes the mail only then', async () => {
  misbehave({ do: 'late', ms: 60 });
  await refusal(send());
  expect(mails()).toBe(0);
  await sandbox.until(() => mails() === 1);
});

test('failAfterApply takes the mail and says it did not', async () => {
  misbehave({ do: 'failAfterApply', status: 451 });
  expect(await refusal(send())).toMatchObject({ code: 'EMESSAGE', responseCode: 451 });
  expect(mails()).toBe(1);
});

test.each([{ do: 'garble', body: 'html' }, { do: 'breakOff' }] as Fault[])(
  '$do takes the mail and ends in nonsense',
  async (fault) => {
    misbehave(fault);
    await refusal(send());
    expect(mails()).toBe(1);
  },
);
