import { describe, expect, it } from 'vitest';
import { email } from '../../src/destinations/email/index.ts';
import { newWire } from '../../src/destinations/wire.ts';
import { faultOf, receiptOf, stage } from './stage.ts';
import { adapterSuite, noticeOf, rendered } from './suite.ts';

adapterSuite(
  email,
  (sandbox) => {
    const settings = { from: 'Tocsin <tocsin@example.com>', to: ['ops@example.com'] };
    return {
      service: 'smtp',
      configuration: { settings, secrets: { smtpUrl: sandbox.addresses.smtpUrl } },
      unreachable: { settings, secrets: { smtpUrl: 'smtp://127.0.0.1:1' } },
      // Copies with one Message-ID count as one, as in the mailboxes that merge them.
      texts: () => {
        const mails = sandbox.smtp.mailbox('ops@example.com').map(({ headers, text }) => ({ headers, text }));
        return [
          ...new Map(
            mails.map((mail) => [mail.headers['message-id'], `${mail.headers.subject} ${mail.text}`]),
          ).values(),
        ];
      },
      followUps: true,
    };
  },
  { http: false },
);

describe('email', () => {
  const scene = stage(email);
  const configuration = (to = ['ops@example.com'], user = '') => ({
    settings: { from: 'Tocsin <tocsin@example.com>', to },
    secrets: { smtpUrl: scene.sandbox.addresses.smtpUrl.replace('smtp://', `smtp://${user}`) },
  });
  const mailbox = () => scene.sandbox.smtp.mailbox('ops@example.com');

  it('says the same in HTML and in plain text, under an id that never changes', async () => {
    receiptOf(await scene.make('deliver', 'dl_1', configuration()));
    const [mail] = mailbox();
    expect(mail?.headers).toMatchObject({
      'message-id': '<dl_1.1@example.com>',
      'x-tocsin-delivery': 'dl_1',
      subject: '[CRITICAL] P1: checkout is down',
    });
    expect(mail?.html).toContain('<strong>42 %</strong>');
    expect(mail?.text).toContain('Rate **42 %**.');
  });

  it('follows up in the thread of the first mail', async () => {
    const receipt = receiptOf(await scene.make('deliver', 'dl_1', configuration()));
    receiptOf(await scene.make('revise', 'dl_1', configuration(), { receipt, revision: 2 }));
    receiptOf(await scene.make('deliver', 'dl_2', configuration(), { root: receipt }));
    const [, update, reply] = mailbox();
    expect(update?.headers).toMatchObject({
      'message-id': '<dl_1.2@example.com>',
      'in-reply-to': '<dl_1.1@example.com>',
      subject: 'Update: [CRITICAL] P1: checkout is down',
    });
    expect(reply?.headers.references).toBe('<dl_1.1@example.com>');
  });

  it('knows that a connection lost before the final dot left nothing behind', async () => {
    scene.sandbox.misbehave('smtp', { do: 'drop' });
    const performed = await scene.make('deliver', 'dl_1', configuration());
    expect(faultOf(performed).class).toBe('transient');
    expect(performed.wire.sent).toBe('none');
  });

  it('does not know what a connection lost after the final dot left behind', async () => {
    scene.sandbox.misbehave('smtp', { do: 'swallow' }, { do: 'late', ms: 10_000 }, { do: 'garble', body: 'text' });
    for (const key of ['dl_1', 'dl_2', 'dl_3']) {
      const performed = await scene.make('deliver', key, configuration());
      expect(faultOf(performed).class).toBe('ambiguous');
      expect(performed.wire.sent).toBe('body');
    }
  });

  it('believes a server that says no, even to the final dot', async () => {
    scene.sandbox.misbehave('smtp', { do: 'refuse', status: 450 }, { do: 'refuse', status: 550 });
    expect(faultOf(await scene.make('deliver', 'dl_1', configuration()))).toMatchObject({
      class: 'transient',
      status: 450,
    });
    expect(faultOf(await scene.make('deliver', 'dl_2', configuration()))).toMatchObject({
      class: 'permanent',
      status: 550,
    });
    scene.sandbox.misbehave('smtp', { do: 'failAfterApply', status: 451 });
    expect(faultOf(await scene.make('deliver', 'dl_3', configuration()))).toMatchObject({
      class: 'transient',
      status: 451,
    });
  });

  it('delivers to those whom the server takes, and names the others', async () => {
    const at = configuration(['ops@example.com', 'nobody@example.com']);
    expect(receiptOf(await scene.make('deliver', 'dl_1', at))).toMatchObject({ rejected: ['nobody@example.com'] });
    expect(mailbox()).toHaveLength(1);
    const nobody = faultOf(await scene.make('deliver', 'dl_2', configuration(['nobody@example.com'])));
    expect(nobody).toMatchObject({ class: 'permanent', status: 550 });
  });

  it('blames the credential for a refused login, and never tells it', async () => {
    const fault = faultOf(await scene.make('deliver', 'dl_1', configuration(undefined, 'me:bad-pass@')));
    expect(fault).toMatchObject({ class: 'permanent', credential: true, status: 535 });
    expect(JSON.stringify(fault)).not.toContain('bad-pass');
  });

  it('tries a login without sending anything', async () => {
    const check = async (at: ReturnType<typeof configuration>) => {
      const { network } = scene;
      const signal = AbortSignal.timeout(5_000);
      const way = { fetch: network.fetch, request: network.request, resolve: network.assertPublic };
      return (await email.check?.({ ...at, ...way, wire: newWire(), signal }))?.map(({ ok }) => ok);
    };
    expect(await check(configuration())).toEqual([true, true, true]);
    expect(await check(configuration(undefined, 'me:bad-pass@'))).toEqual([false]);
    expect(mailbox()).toEqual([]);
  });

  it.each(['=?utf-8?B?SGFja2Vk?=', 'a =?utf-8?Q?b?= "c" 🔥 =?', `=?utf-8?B?SGFja2Vk?= ${'größer '.repeat(30)}`.trim()])(
    'shows a title that looks like encoded words as it was written (%#)',
    async (title) => {
      receiptOf(await scene.make('deliver', 'dl_1', configuration(), { notice: noticeOf('dl_1', { title }) }));
      const [mail] = mailbox();
      expect(mail?.headers.subject).toBe(`[CRITICAL] ${title}`);
      const lines = mail?.raw.split('\r\n') ?? [];
      expect(Math.max(...lines.slice(0, lines.indexOf('')).map((line) => line.length))).toBeLessThanOrEqual(78);
    },
  );

  it('puts nothing but one line into the subject', () => {
    const { subject } = rendered(
      email,
      noticeOf('dl_1', { title: 'One\r\nBcc: all@example.com' }),
      configuration().settings,
    );
    expect(subject).toBe('[CRITICAL] One Bcc: all@example.com');
  });

  it('takes no address and no URL that says more than it should', () => {
    for (const from of [
      'a@b.example, c@d.example',
      'a@b.example\nBcc: x@y.example',
      'nobody',
      'A <a@b.example> <c@d.example>',
    ]) {
      expect(email.settings.safeParse({ from, to: ['ops@example.com'] }).success).toBe(false);
    }
    for (const smtpUrl of ['http://mail.example', 'smtps://mail.example/?tls.rejectUnauthorized=false', 'smtp://']) {
      expect(email.secrets.safeParse({ smtpUrl }).success).toBe(false);
    }
  });
});
