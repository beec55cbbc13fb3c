import { z } from 'zod';
import type { Call, Look } from '../adapter.ts';
import { permalink, timeOf } from '../receipt.ts';
import { serviceOf } from '../service-url.ts';
import { jiraClient } from './client.ts';
import { library } from './library.ts';
import { property } from './render.ts';
import {
  CreatedComment,
  CreatedIssue,
  isAtSite,
  placeOf,
  type Receipt,
  type Secrets,
  type Settings,
} from './settings.ts';

const Mark = z.object({ id: z.string(), rev: z.number().int().positive().catch(1) });

const pageSize = 50;
const pageLimit = 5;

/** Our clock and Jira's may differ, and JQL counts in minutes. */
const skewMinutes = 5;

type JiraCall = Call<Settings, Secrets, Receipt>;

export function browseUrl({ apiUrl }: Settings, issueKey: string): string {
  return `${serviceOf(apiUrl)}/browse/${issueKey}`;
}

export async function look(call: JiraCall): Promise<Look<Receipt>> {
  const today = placeOf(call.settings, call.secrets);
  const { service = today.service } = call.place ?? today;
  if (service !== today.service || (call.root && !isAtSite(call.settings, call.root))) {
    return { seen: 'unclear', why: `It was sent to ${service}, and apiUrl is another Jira now.` };
  }
  return call.root ? lookForComment(call, call.root) : lookForIssue(call);
}

const Search = z.object({
  issues: z.array(
    CreatedIssue.extend({
      fields: z.object({ created: z.string().optional() }).optional(),
      properties: z.record(z.string(), z.unknown()).optional(),
    }),
  ),
  // It is sent back with the next request.
  nextPageToken: z.string().max(4096).optional(),
});

/**
 * Searches what the account that sent it created lately, because JQL knows the property only with an app that indexes it. The search lags
 * behind by seconds to minutes, so that absence counts only at the end of a long schedule.
 * https://developer.atlassian.com/cloud/jira/platform/search-and-reconcile/
 */
async function lookForIssue(call: JiraCall): Promise<Look<Receipt>> {
  const today = placeOf(call.settings, call.secrets);
  const { project = today.project, account } = call.place ?? {};
  const mine = account === today.account ? ' AND creator = currentUser()' : '';
  const elapsedMs = call.startedAt.getTime() - call.since.getTime();
  const minutes = Math.max(0, Math.ceil(elapsedMs / 60_000)) + skewMinutes;
  const jql = `project = "${project}"${mine} AND created >= "-${minutes}m" ORDER BY created DESC`;
  const { searchAndReconsileIssuesUsingJqlPost } = await library();
  let nextPageToken: string | undefined;
  for (let page = 0; page < pageLimit; page += 1) {
    const answer = await searchAndReconsileIssuesUsingJqlPost(jiraClient(call), {
      jql,
      fields: ['created', 'summary'],
      properties: [property],
      maxResults: pageSize,
      nextPageToken,
    });
    const found = Search.safeParse(answer);
    if (!found.success) return { seen: 'unclear', why: 'Jira answered the search without a list of issues.' };
    for (const issue of found.data.issues) {
      const mark = Mark.safeParse(issue.properties?.[property]);
      if (!mark.success || mark.data.id !== call.key) continue;
      const receipt = issueReceipt(call.settings, issue, issue.fields?.created);
      return { seen: 'landed', receipt, revision: mark.data.rev };
    }
    nextPageToken = found.data.nextPageToken;
    if (nextPageToken) continue;
    if (account === undefined || account === today.account) return { seen: 'absent' };
    return { seen: 'unclear', why: 'Another account sent it, and this one may not be allowed to see it.' };
  }
  return { seen: 'unclear', why: `More than ${pageSize * pageLimit} issues were created since.` };
}

const Listed = z.object({ comments: z.array(CreatedComment), total: z.number().optional() });

const Marked = z.object({
  values: z.array(
    CreatedComment.extend({
      created: z.string().optional(),
      properties: z.array(z.object({ key: z.string().optional(), value: z.unknown() })).optional(),
    }),
  ),
});

/** The list of an issue's comments leaves their properties out; the list by ids has them. Both read the issue itself, without lag. */
async function lookForComment(call: JiraCall, root: Receipt): Promise<Look<Receipt>> {
  const { getComments, getCommentsByIds } = await library();
  const client = jiraClient(call);
  for (let page = 0; page < pageLimit; page += 1) {
    const listed = Listed.safeParse(
      await getComments(client, {
        issueIdOrKey: root.issueId,
        orderBy: '-created',
        startAt: page * pageSize,
        maxResults: pageSize,
      }),
    );
    if (!listed.success) return { seen: 'unclear', why: 'Jira answered without a list of comments.' };
    // No more than was asked for, whatever came.
    const ids = listed.data.comments.slice(0, pageSize).map(({ id }) => Number(id));
    if (ids.length === 0) return { seen: 'absent' };
    const marked = Marked.safeParse(await getCommentsByIds(client, { ids, expand: 'properties' }));
    if (!marked.success) return { seen: 'unclear', why: 'Jira answered without the properties of the comments.' };
    for (const comment of marked.data.values) {
      const value = comment.properties?.find(({ key }) => key === property)?.value;
      const mark = Mark.safeParse(value);
      if (!mark.success || mark.data.id !== call.key) continue;
      const receipt = commentReceipt(call.settings, root, comment.id, comment.created);
      return { seen: 'landed', receipt, revision: mark.data.rev };
    }
    if (ids.length < pageSize) return { seen: 'absent' };
  }
  return { seen: 'unclear', why: `More than ${pageSize * pageLimit} comments followed on ${root.issueKey}.` };
}

export function issueReceipt(settings: Settings, { id, key }: z.infer<typeof CreatedIssue>, created?: string): Receipt {
  const url = permalink(browseUrl(settings, key));
  return { at: timeOf(created), url, issueKey: key, issueId: id, site: serviceOf(settings.apiUrl) };
}

export function commentReceipt(settings: Settings, root: Receipt, commentId: string, created?: string): Receipt {
  const { issueKey: key, issueId: id } = root;
  const url = permalink(`${browseUrl(settings, key)}?focusedCommentId=${commentId}`);
  return { ...issueReceipt(settings, { id, key }, created), url, commentId };
}
