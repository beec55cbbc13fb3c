import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Call, Place } from '../adapter.ts';
import { ReceiptTime, ReceiptUrl } from '../receipt.ts';
import { ServiceUrl, serviceOf } from '../service-url.ts';

export const Settings = z.strictObject({
  apiUrl: ServiceUrl.describe('https://you.atlassian.net'),
  // It becomes part of a JQL query, hence nothing but what a project key may be.
  projectKey: z.string().regex(/^[A-Z][A-Z0-9_]{1,254}$/, 'must be a project key in capitals, like OPS'),
  issueType: z.string().trim().min(1, 'must name an issue type, like Task').max(255),
});
export type Settings = z.infer<typeof Settings>;

export const Secrets = z.strictObject({
  email: z.email('must be the e-mail address of the account that the token belongs to'),
  apiToken: z.string().min(1).max(4096),
});
export type Secrets = z.infer<typeof Secrets>;

/** jira.js puts ids into paths as they are: one with `/../` in it would reach any other resource with our credential. */
const IssueKey = z.string().regex(/^[A-Z][A-Z0-9_]{0,99}-\d{1,20}$/);
const NumericId = z.string().regex(/^\d{1,20}$/);

export const Receipt = z.object({
  at: ReceiptTime,
  url: ReceiptUrl,
  issueKey: IssueKey,
  /** Survives a move of the issue to another project. */
  issueId: NumericId,
  commentId: NumericId.optional(),
  /** The base URL of the Jira that it is in: another Jira has other issues under the same ids. Older receipts lack it. */
  site: z.string().max(2048).optional(),
});
export type Receipt = z.infer<typeof Receipt>;

/** The account is told by a hash, because places are stored in clear. */
export function placeOf({ apiUrl, projectKey }: Settings, { email }: Secrets): Place {
  const account = createHash('sha256').update(`jira account ${email.toLowerCase()}`).digest('base64url');
  return { service: serviceOf(apiUrl), project: projectKey, account };
}

export function isAtSite({ apiUrl }: Settings, { site, url }: Receipt): boolean {
  if (site !== undefined) return site === serviceOf(apiUrl);
  return url === null || url.startsWith(`${serviceOf(apiUrl)}/`);
}

export const CreatedIssue = z.object({ id: NumericId, key: IssueKey });
export const CreatedComment = z.object({ id: NumericId });

/** What every request to Jira needs to know. */
export type Reach = Pick<Call<Settings, Secrets, Receipt>, 'settings' | 'secrets' | 'fetch' | 'wire' | 'signal'>;
