import { z } from 'zod';
import type { Call } from '../adapter.ts';
import { ReceiptTime } from '../receipt.ts';

const pattern = /^(?:(?:"[^"<>\r\n]*"|[^"<>\r\n@,;]*)\s*<([^<>\s]+)>|([^<>\s]+))$/;

/** The bare address of `a@b.example` or `Name <a@b.example>`; null where it is neither. */
export function addressOf(text: string): string | null {
  const match = pattern.exec(text.trim());
  const address = match?.[1] ?? match?.[2] ?? '';
  return z.email().safeParse(address).success ? address : null;
}

const Mailbox = z
  .string()
  .max(320)
  .refine((text) => addressOf(text) !== null, 'must be an e-mail address: you@example.com or You <you@example.com>');

export const Settings = z.strictObject({
  from: Mailbox,
  to: z.array(Mailbox).min(1, 'needs at least one recipient').max(100),
});
export type Settings = z.infer<typeof Settings>;

export const Secrets = z.strictObject({
  smtpUrl: z
    .string()
    .max(2048)
    .refine((text) => {
      const url = URL.parse(text);
      return url !== null && /^smtps?:$/.test(url.protocol) && url.hostname !== '';
    }, 'must be smtp://user:password@host:587 (STARTTLS where the server offers it) or smtps://user:password@host:465 (TLS)')
    .refine((text) => {
      const url = URL.parse(text);
      // nodemailer would take any of its options from there, such as not to check certificates.
      return !url || (url.search === '' && url.hash === '' && /^\/?$/.test(url.pathname));
    }, 'must not have a path, a query or a fragment'),
});
export type Secrets = z.infer<typeof Secrets>;

export const Receipt = z.object({
  at: ReceiptTime,
  url: z.null(),
  // Ours: made of the delivery's id and the domain of "from".
  messageId: z.string().max(512),
  /** Recipients that the server refused while it took the mail for the others. */
  rejected: z.array(z.string().max(320)).max(300).optional(),
});
export type Receipt = z.infer<typeof Receipt>;

export type EmailCall = Call<Settings, Secrets, Receipt>;
export type Reach = Pick<EmailCall, 'settings' | 'secrets' | 'wire' | 'signal' | 'resolve'>;
