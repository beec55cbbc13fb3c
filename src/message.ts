import { z } from 'zod';
import { closedBidi } from './bidi.ts';

/** The most a CommonMark body may weigh, in bytes of UTF-8 (32 KiB). */
const bodyLimitBytes = 32 * 1024;

export const severities = ['critical', 'error', 'warning', 'info'] as const;

export const Severity = z.enum(severities).meta({ id: 'Severity' });
export type Severity = z.infer<typeof Severity>;

const Link = z.strictObject({
  text: z.string().min(1).max(256).overwrite(closedBidi),
  url: z.url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' }).max(2048),
});

const Field = z.strictObject({
  name: z.string().min(1).max(256).overwrite(closedBidi),
  value: z.string().max(2048).overwrite(closedBidi),
});

/** Anything that can be seen: neither space, nor what only steers the text around it. */
const visible = /[^\s\p{Z}\p{Cc}\p{Cf}]/u;
/** Line breaks of any script, and what services refuse or show as boxes. */
const control = /[\p{Cc}\u2028\u2029]/u;

/** What to say, in the one form that is common to all services. */
export const Message = z
  .strictObject({
    title: z
      .string()
      .min(1)
      .max(256)
      .refine((title) => title === '' || visible.test(title), 'must not be blank: say what has happened')
      .refine(
        (title) => !control.test(title),
        'must be one line without control characters: further lines go into body',
      )
      .overwrite(closedBidi)
      .describe('One line, plain text.'),
    body: z
      .string()
      .refine((body) => Buffer.byteLength(body) <= bodyLimitBytes, `must be at most ${bodyLimitBytes} bytes of UTF-8`)
      .optional()
      .describe('CommonMark, at most 32 KiB.'),
    severity: Severity.default('info'),
    fields: z.array(Field).max(20).optional(),
    links: z.array(Link).max(10).optional(),
  })
  .meta({ id: 'Message' });
export type Message = z.infer<typeof Message>;
