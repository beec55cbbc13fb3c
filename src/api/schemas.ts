import { z } from 'zod';
import { broadcastStates, deliveryStates } from '../delivery/state.ts';
import { retryableStates } from '../ledger/retry.ts';
import { Message } from '../message.ts';

/** What the API answers. These shapes only ever gain optional properties. */
const Time = z.string().meta({ format: 'date-time', description: 'RFC 3339, UTC, with milliseconds.' });

export const DeliveryState = z.enum(deliveryStates).meta({ id: 'DeliveryState' });
export const BroadcastState = z.enum(broadcastStates).meta({ id: 'BroadcastState' });

export const RetryableState = z.enum(retryableStates);

export const Fault = z
  .object({
    class: z.enum(['transient', 'rate_limited', 'permanent', 'ambiguous']),
    reason: z.string().describe("A word for programs: the service's own code where it has one."),
    message: z.string(),
    status: z.int().nullable().describe('The HTTP or SMTP status, where there was one.'),
  })
  .meta({ id: 'Fault' });

export const Receipt = z
  .looseObject({ at: z.string(), url: z.string().nullable() })
  .describe('What proves and locates the message. Kinds add their own properties.')
  .meta({ id: 'Receipt' });

const delivery = {
  id: z.string(),
  broadcastId: z.string(),
  destination: z.string(),
  kind: z.string(),
  required: z.boolean(),
  state: DeliveryState,
  hold: z.enum(['paused', 'breaker', 'topic']).optional().describe('Why it is held.'),
  behind: z
    .string()
    .optional()
    .describe(
      'With the hold `topic`: the earliest broadcast of the topic that is still open there. Not in lists, callbacks or events.',
    ),
  event: z.string().optional().describe('For callbacks: the type of the event.'),
  attempt: z.int(),
  maxAttempts: z.int(),
  nextAttemptAt: Time.nullable(),
  revision: z.object({ desired: z.int(), confirmed: z.int() }),
  lastError: Fault.nullable(),
  receipt: Receipt.nullable(),
  escalatedTo: z.string().nullable().describe('The delivery at the fallback that took over.'),
  escalatedFrom: z.string().optional().describe('The delivery that this one took over from.'),
  createdAt: Time,
  updatedAt: Time,
  endedAt: Time.optional(),
};

export const Delivery = z.object(delivery).meta({ id: 'Delivery' });

export const Attempt = z
  .object({
    n: z.int(),
    action: z.string().describe('deliver, verify, revise or retract.'),
    revision: z.int(),
    startedAt: Time,
    finishedAt: Time.nullable().describe('Null: under way, or its process died in it.'),
    outcome: z.string().nullable(),
    error: Fault.nullable(),
  })
  .meta({ id: 'Attempt' });

export const DeliveryWithAttempts = z
  .object({
    ...delivery,
    attempts: z.array(Attempt).describe('The newest 500, the oldest of them first.'),
    attemptsLeftOut: z.int().optional().describe('How many earlier attempts are not shown, where there are more.'),
  })
  .meta({ id: 'DeliveryWithAttempts' });

export const Broadcast = z
  .object({
    id: z.string(),
    state: BroadcastState,
    revision: z.int(),
    retracted: z.boolean().optional(),
    summary: z.string().describe('One line for a person.'),
    message: Message,
    topic: z.string().nullable(),
    correlationId: z.string(),
    metadata: z.record(z.string(), z.string()),
    createdAt: Time,
    expiresAt: Time.nullable(),
    convergedAt: Time.nullable(),
    deliveries: z.array(Delivery),
    callbacks: z
      .array(Delivery)
      .optional()
      .describe('What was, or is to be, told to the callback: the newest hundred. Only when one broadcast is read.'),
  })
  .meta({ id: 'Broadcast' });

/** A time in a request. Later ones could not be written down in RFC 3339, which has four digits for the year. */
export const Moment = z.iso
  .datetime({ offset: true })
  .refine((text) => !(new Date(text).getUTCFullYear() >= 10_000), 'must be before the year 10000, in UTC');

/** A query parameter that may be given more than once. */
export function oneOrMore<Item extends z.ZodType>(item: Item) {
  return z.union([item, z.array(item).min(1)]).optional();
}

export function asList<Item>(value: Item | Item[] | undefined): Item[] | null {
  if (value === undefined) return null;
  return Array.isArray(value) ? value : [value];
}

/** Bounds in time, as query parameters. */
export const window = {
  since: Moment.optional().describe('At or after this time.'),
  until: Moment.optional().describe('Before this time.'),
};

export function asDate(text: string | undefined): Date | null {
  return text === undefined ? null : new Date(text);
}
