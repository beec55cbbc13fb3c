import { z } from 'zod';
import type { Call, Place } from '../adapter.ts';
import { ReceiptText, ReceiptTime, ReceiptUrl } from '../receipt.ts';
import { ServiceUrl, serviceOf } from '../service-url.ts';

const id = (what: string) =>
  z
    .string()
    .max(255)
    .regex(/^[\w:@.-]+$/, `must be the id of a ${what}, as in a link to it, not its name`);

export const Settings = z.strictObject({
  teamId: id('team'),
  channelId: id('channel'),
  apiUrl: ServiceUrl.default('https://graph.microsoft.com/v1.0/'),
  tokenUrl: ServiceUrl.optional().describe(
    'Default https://login.microsoftonline.com/{tenantId}/oauth2/v2.0/token; national clouds have their own.',
  ),
});
export type Settings = z.infer<typeof Settings>;

export const Secrets = z
  .strictObject({
    tenantId: z
      .string()
      .max(255)
      .regex(/^[\w.-]+$/, 'must be a tenant id or a domain')
      .optional(),
    clientId: z.string().min(1).max(255).optional(),
    clientSecret: z.string().min(1).max(1024).optional(),
    refreshToken: z.string().min(1).max(8192).optional(),
    accessToken: z.string().min(1).max(8192).optional(),
  })
  .superRefine((secrets, context) => {
    const refresh = [secrets.tenantId, secrets.clientId, secrets.refreshToken];
    const alone = 'give accessToken alone, or tenantId, clientId and refreshToken (and clientSecret)';
    if (secrets.accessToken !== undefined) {
      if ([...refresh, secrets.clientSecret].some((value) => value !== undefined)) {
        context.addIssue({ code: 'custom', path: ['accessToken'], message: alone });
      }
      return;
    }
    for (const name of ['tenantId', 'clientId', 'refreshToken'] as const) {
      if (secrets[name] === undefined)
        context.addIssue({ code: 'custom', path: [name], message: `is missing: ${alone}` });
    }
  });
export type Secrets = z.infer<typeof Secrets>;

export const Receipt = z.object({
  at: ReceiptTime,
  url: ReceiptUrl,
  messageId: ReceiptText,
  /** The message that this one is a reply to. */
  replyToId: ReceiptText.optional(),
  /** The channel it stands in, which may be another one than is configured by now. Older receipts lack it. */
  teamId: ReceiptText.optional(),
  channelId: ReceiptText.optional(),
});
export type Receipt = z.infer<typeof Receipt>;

export type Channel = Pick<Settings, 'teamId' | 'channelId'>;

export function placeOf({ apiUrl, teamId, channelId }: Settings): Place {
  return { service: serviceOf(apiUrl), teamId, channelId };
}

/** The channel that a message stands in; `otherwise`, where its receipt does not say. */
export function channelOf({ teamId, channelId }: Receipt, otherwise: Channel): Channel {
  return teamId && channelId ? { teamId, channelId } : otherwise;
}

/** What every request to Graph needs to know. */
export type Reach = Pick<Call<Settings, Secrets, Receipt>, 'settings' | 'secrets' | 'fetch' | 'wire' | 'signal'>;
