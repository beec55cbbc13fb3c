import { z } from 'zod';
import type { Call } from '../adapter.ts';
import { ServiceUrl } from '../service-url.ts';

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
const IssueKey = z.string().regex(/^[A-Z][A-Z0-9_]*-\d+$/);
const NumericId = z.string().regex(/^\d+$/);

export const Receipt = z.object({
  at: z.string(),
  url: z.string().nullable(),
  issueKey: IssueKey,
  /** Survives a move of the issue to another project. */
  issueId: NumericId,
  commentId: NumericId.optional(),
});
export type Receipt = z.infer<typeof Receipt>;

export const CreatedIssue = z.object({ id: NumericId, key: IssueKey });
export const CreatedComment = z.object({ id: NumericId });

/** What every request to Jira needs to know. */
export type Reach = Pick<Call<Settings, Secrets, Receipt>, 'settings' | 'secrets' | 'fetch' | 'wire' | 'signal'>;
