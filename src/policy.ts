import { z } from 'zod';

/** How long a delivery may stay unconfirmed before the fallback is told as well, where the policy does not say, in milliseconds. */
export const escalateAfterMs = { critical: 120_000, others: 300_000 };

/** How a destination is driven. Every number is bounded, so that no typing error can stop a destination or flood one. */
export const Policy = z
  .strictObject({
    maxAttempts: z
      .int()
      .min(1)
      .max(100)
      .default(5)
      .describe('Tries before a delivery is dead. Rate-limited ones are not counted.'),
    backoff: z
      .strictObject({
        baseMs: z.int().min(1).max(3_600_000).default(1_000),
        maxMs: z.int().min(1).max(86_400_000).default(300_000),
      })
      .prefault({})
      .describe('Exponential, with full jitter.'),
    timeoutMs: z.int().min(100).max(120_000).default(10_000).describe('The deadline of one attempt.'),
    concurrency: z.int().min(1).max(100).default(4).describe('Attempts at once, over all worker processes.'),
    rateLimit: z
      .strictObject({ max: z.int().min(1).max(100_000), perMs: z.int().min(1).max(3_600_000) })
      .nullable()
      .default(null)
      .describe('Attempts in a span of time, over all worker processes.'),
    onUnknown: z
      .enum(['park', 'resend'])
      .default('park')
      .describe('When nobody can tell whether a message landed: wait for a person, or risk a duplicate.'),
    // Without a default: a written 300000 holds for critical messages too, and one that is left out does not.
    escalateAfterMs: z
      .int()
      .min(1_000)
      .max(604_800_000)
      .nullable()
      .optional()
      .describe(
        'With a fallback: a delivery that is not confirmed so long after its acceptance, or after a retry, is sent there as well, once; ' +
          'held ones too. It goes on by itself. A number holds for every severity. Left out: 300000, and 120000 for critical ' +
          'messages. Null: the fallback is told only when the delivery has ended without success.',
      ),
  })
  .meta({ id: 'Policy' });
export type Policy = z.infer<typeof Policy>;

/** Callbacks have no destination to be configured at. Patient: a receiver that is being deployed comes back. */
export const callbackPolicy: Policy = Policy.parse({ maxAttempts: 10, timeoutMs: 15_000, backoff: { baseMs: 2_000 } });
