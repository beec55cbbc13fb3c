import type { z } from 'zod';
import { defineAdapter, FaultError, rootGone } from '../adapter.ts';
import type { Wire } from '../wire.ts';
import { check, credentialAdvice } from './check.ts';
import { isGone, jiraClient } from './client.ts';
import { classify } from './faults.ts';
import { library } from './library.ts';
import { commentReceipt, issueReceipt, look } from './look.ts';
import { compose, type JiraContent, type JiraPayload, render } from './render.ts';
import { CreatedComment, CreatedIssue, isAtSite, placeOf, Receipt, Secrets, Settings } from './settings.ts';

/** A project in Jira Cloud: a message is an issue, and what follows in its topic a comment on it. */
export const jira = defineAdapter<Settings, Secrets, Receipt, JiraPayload, JiraContent>({
  kind: 'jira',
  settings: Settings,
  secrets: Secrets,
  receipt: Receipt,
  // Jira has no idempotency key; but the same text again, or another delete, changes nothing.
  repeatable: ['revise', 'retract'],
  compose,
  render,
  classify,
  load: library,
  check,
  credentialAdvice,

  async deliver(call, payload) {
    const { createIssue } = await library();
    const answer = await createIssue(jiraClient(call), payload);
    return issueReceipt(call.settings, created(CreatedIssue, answer, call.wire));
  },

  async reply(call, { fields, properties }) {
    const { addComment } = await library();
    const { issueId, issueKey } = call.root;
    if (!isAtSite(call.settings, call.root)) {
      throw rootGone(`${issueKey}, the issue of this topic, is in another Jira than apiUrl names now.`, null);
    }
    const comment = { issueIdOrKey: issueId, body: fields.description, properties };
    const answer = await addComment(jiraClient(call), comment).catch((error) => {
      if (!isGone(error)) throw error;
      throw rootGone(`Jira does not find ${issueKey}, the issue of this topic, any more.`, call.wire.status);
    });
    const { id } = created(CreatedComment, answer, call.wire);
    return commentReceipt(call.settings, call.root, id);
  },

  // For comments shorter would do; but a kind has one schedule, and the search behind issues is slow.
  verify: { scheduleSeconds: [5, 20, 60, 180, 300], look },

  async revise(call, payload) {
    mustBeAtSite(call);
    await write(call, payload);
    return call.receipt;
  },

  async retract(call, payload) {
    mustBeAtSite(call);
    const { issueId, commentId } = call.receipt;
    const { deleteComment } = await library();
    try {
      // An issue may have people's work in it by now: it is struck, never deleted.
      if (commentId) await deleteComment(jiraClient(call), { issueIdOrKey: issueId, id: commentId });
      else await write(call, payload);
    } catch (error) {
      if (!isGone(error)) throw error;
    }
    return call.receipt;
  },

  place: placeOf,
  // An API token's limits count per user and site.
  budget: (settings, secrets) => `jira ${new URL(settings.apiUrl).host} ${secrets.email}`,
});

type Written = Parameters<NonNullable<typeof jira.revise>>[0];

/** Under the id that the receipt names, another Jira has an issue of somebody else. */
function mustBeAtSite({ settings, receipt }: Written): void {
  if (isAtSite(settings, receipt)) return;
  const message = `${receipt.issueKey} is in another Jira than apiUrl names now: change it there by hand, or set apiUrl back and retry.`;
  throw new FaultError({ class: 'permanent', reason: 'other_site', message, status: null, retryAfterMs: null });
}

async function write(call: Written, { fields, properties }: JiraPayload): Promise<void> {
  const { editIssue, updateComment } = await library();
  const { issueId, commentId } = call.receipt;
  const { summary, description } = fields;
  const client = jiraClient(call);
  if (commentId) {
    // jira.js sends `body` as the whole request here, so that the comment's text is one level further down than in addComment.
    await updateComment(client, { issueIdOrKey: issueId, id: commentId, body: { body: description, properties } });
  } else {
    // Neither project nor type, which people may have changed by now.
    await editIssue(client, { issueIdOrKey: issueId, fields: { summary, description }, properties });
  }
}

function created<Schema extends z.ZodType>(schema: Schema, answer: unknown, wire: Wire): z.infer<Schema> {
  const parsed = schema.safeParse(answer);
  if (parsed.success) return parsed.data;
  const message = 'Jira said that it was created, but not under which id.';
  const { status } = wire;
  throw new FaultError({ class: 'ambiguous', reason: 'unreadable_reply', message, status, retryAfterMs: null });
}
