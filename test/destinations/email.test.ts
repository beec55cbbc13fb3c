import { email } from '../../src/destinations/email/index.ts';
import { adapterSuite } from './suite.ts';

adapterSuite('email', (sandbox) => {
  const settings = { from: 'Tocsin <tocsin@example.com>', to: ['ops@example.com'] };
  return {
    adapter: email,
    service: 'smtp',
    configuration: { settings, secrets: { smtpUrl: sandbox.addresses.smtpUrl } },
    unreachable: { settings, secrets: { smtpUrl: 'smtp://127.0.0.1:1' } },
    // Copies with one Message-ID count as one, as in the mailboxes that merge them.
    texts: () => {
      const mails = sandbox.smtp.mailbox('ops@example.com').map(({ headers, text }) => ({ headers, text }));
      return [
        ...new Map(mails.map((mail) => [mail.headers['message-id'], `${mail.headers.subject} ${mail.text}`])).values(),
      ];
    },
    http: false,
    followUps: true,
  };
});
