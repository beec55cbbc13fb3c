import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Message } from '../message.ts';
import { Moment } from './schemas.ts';

export const callbackEvents = [
  'broadcast.converged',
  'broadcast.updated',
  'delivery.confirmed',
  'delivery.dead',
] as const;

export const Name = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9-]{0,62}$/,
    'must be 1 to 63 lower-case letters, digits and hyphens, not beginning with a hyphen',
  );

/** Standard Webhooks: 24 to 64 random bytes. */
const CallbackSecret = z.string().refine((text) => {
  const [, key] = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(text) ?? [];
  const bytes = key ? Buffer.from(key, 'base64') : Buffer.alloc(0);
  return bytes.length >= 24 && bytes.length <= 64 && stripped(bytes.toString('base64')) === stripped(key ?? '');
}, 'must be "whsec_" and 24 to 64 random bytes in base64');

const stripped = (base64: string) => base64.replace(/=+$/, '');

/** Destinations of a broadcast or an audience: what one statement records, and one answer shows, within a second. */
export const mostDestinations = 2_000;

const metadataLimit = { keys: 50, keyLength: 128, valueLength: 2_048 };

const Metadata = z
  .record(z.string().min(1).max(metadataLimit.keyLength), z.string().max(metadataLimit.valueLength))
  .refine(
    (metadata) => Object.keys(metadata).length <= metadataLimit.keys,
    `must have at most ${metadataLimit.keys} properties`,
  )
  .describe('Handed back untouched.');

export const BroadcastBody = z
  .strictObject({
    message: Message,
    destinations: z
      .array(z.union([Name, z.strictObject({ name: Name, required: z.boolean().optional() })]))
      .min(1)
      .max(mostDestinations)
      .optional()
      .describe('Names, or names with whether that delivery is required.'),
    audience: Name.optional().describe('A named set of destinations; with the list, or instead of it.'),
    topic: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe('One incident: its broadcasts arrive in order, and in one thread, at each destination.'),
    callback: z
      .strictObject({
        url: z.url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' }).max(2048),
        events: z.array(z.enum(callbackEvents)).min(1).max(callbackEvents.length).default(['broadcast.converged']),
        secret: CallbackSecret.optional().describe('Signs the callbacks by Standard Webhooks. Write-only.'),
      })
      .optional(),
    expiresAt: Moment.optional().describe('What is not confirmed by then is expired, and not sent late.'),
    metadata: Metadata.default({}),
    crossLink: z
      .boolean()
      .default(false)
      .describe(
        'Name in each copy where the others are, as far as is known; chats are edited once all copies are there.',
      ),
  })
  .meta({
    id: 'NewBroadcast',
    example: {
      message: {
        title: 'P1: checkout is down',
        body: 'Error rate **42 %** since 14:02.',
        severity: 'critical',
        fields: [{ name: 'Service', value: 'checkout' }],
        links: [{ text: 'Runbook', url: 'https://runbooks.example.com/checkout' }],
      },
      destinations: ['slack-incidents', { name: 'jira-ops', required: false }],
      topic: 'INC-1234',
    },
  });
export type BroadcastBody = z.output<typeof BroadcastBody>;

/** SHA-256 of a JSON value, whatever the order of its properties and its white space. */
export function hashJson(value: unknown): Buffer {
  return createHash('sha256').update(canonical(value)).digest();
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${entries.map(([key, part]) => `${JSON.stringify(key)}:${canonical(part)}`).join(',')}}`;
}
