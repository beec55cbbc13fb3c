import { z } from 'zod';

/**
 * What a receipt may hold. It comes from the service's reply, and is stored, answered with every broadcast and sent with every callback:
 * a reply must not decide how much that is.
 */
export const ReceiptText = z.string().min(1).max(255);

const longestUrl = 2048;

export const ReceiptUrl = z
  .url({ protocol: /^https?$/ })
  .max(longestUrl)
  .nullable();

export const ReceiptTime = z
  .string()
  .max(64)
  .refine((text) => !Number.isNaN(Date.parse(text)), 'must be a time');

/** A permalink, or null where a service gave something else: the message is found without it. */
export function permalink(url: unknown): string | null {
  const parsed = ReceiptUrl.safeParse(url);
  return parsed.success ? parsed.data : null;
}

/** The time that a service tells, in our form; else that of `otherwise`. */
export function timeOf(told: unknown, otherwise = new Date()): string {
  const time = typeof told === 'string' && told.length <= 64 ? Date.parse(told) : Number.NaN;
  return Number.isNaN(time) ? otherwise.toISOString() : new Date(time).toISOString();
}
