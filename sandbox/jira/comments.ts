import { type Answer, type Call, fields, isFields, list, text } from '../standin.ts';
import { wrongDocument } from './adf.ts';
import type { Issues, JiraComment, JiraIssue, JiraUser } from './issues.ts';
import { no, ok, shownComment } from './shapes.ts';
import { propertiesOf, wrongProperty } from './writing.ts';

/** /issue/{key}/comment and /issue/{key}/comment/{id} */
export function commentsOf(
  issues: Issues,
  issue: JiraIssue,
  id: string | undefined,
  call: Call,
  user: JiraUser,
  api: string,
): Answer {
  if (id === undefined) {
    if (call.method === 'GET') return page(issue, call.query, api);
    if (call.method !== 'POST') return no(405, ['Method Not Allowed']);
    const refused = wrongComment(call.body);
    if (refused !== null) return refused;
    const comment = issues.comment(issue, fields(fields(call.body).body), user);
    Object.assign(comment.properties, propertiesOf(fields(call.body).properties));
    return ok(shownComment(issue, comment, api), 201);
  }
  const comment = issue.comments.find((each) => each.id === id);
  if (comment === undefined) return no(404, [`Can not find a comment for the id: ${id}.`]);
  if (call.method === 'GET') return ok(shownComment(issue, comment, api, expands(call, 'properties')));
  if (call.method === 'DELETE') {
    issue.comments = issue.comments.filter((each) => each !== comment);
    return { status: 204 };
  }
  if (call.method !== 'PUT') return no(405, ['Method Not Allowed']);
  const refused = wrongComment(call.body);
  if (refused !== null) return refused;
  comment.body = fields(fields(call.body).body);
  comment.updated = new Date();
  Object.assign(comment.properties, propertiesOf(fields(call.body).properties));
  return ok(shownComment(issue, comment, api));
}

/** POST comment/list: the only list that shows comment properties. */
export function commentsById(issues: Issues, call: Call, api: string): Answer {
  const ids = list(fields(call.body).ids).map(String);
  if (ids.length === 0 || ids.length > 1000)
    return no(400, ['The list of comment ids must have between 1 and 1000 items.']);
  const found = ids.map((id) => issues.findComment(id)).filter((each) => each !== undefined);
  const values = found.map(({ issue, comment }) => shownComment(issue, comment, api, expands(call, 'properties')));
  return ok({ maxResults: 1000, startAt: 0, total: values.length, isLast: true, values });
}

/** {owner}/properties and {owner}/properties/{key}, the same for issues and comments */
export function propertiesAt(
  owner: JiraIssue | JiraComment,
  key: string | undefined,
  call: Call,
  self: string,
): Answer {
  if (key === undefined) {
    return ok({ keys: Object.keys(owner.properties).map((each) => ({ key: each, self: `${self}/${each}` })) });
  }
  const exists = key in owner.properties;
  if (call.method === 'PUT') {
    const wrong = wrongProperty(key, call.body);
    if (wrong !== null) return no(400, [wrong]);
    owner.properties[key] = call.body;
    return ok({}, exists ? 200 : 201);
  }
  if (!exists) return no(404, [`The property with key '${key}' was not found.`]);
  if (call.method === 'DELETE') {
    delete owner.properties[key];
    return { status: 204 };
  }
  return ok({ key, value: owner.properties[key] });
}

function page(issue: JiraIssue, query: URLSearchParams, api: string): Answer {
  const startAt = Number(query.get('startAt') ?? 0);
  const maxResults = Math.min(Number(query.get('maxResults') ?? 100), 5000);
  const ordered = query.get('orderBy')?.startsWith('-') ? issue.comments.toReversed() : issue.comments;
  // Properties are not shown here even when asked for; comment/list is where they are.
  const comments = ordered.slice(startAt, startAt + maxResults).map((comment) => shownComment(issue, comment, api));
  return ok({ startAt, maxResults, total: issue.comments.length, comments });
}

function wrongComment(body: unknown): Answer | null {
  if (!isFields(body)) return no(400, ['Invalid request payload. Refer to the REST API documentation and try again.']);
  const wrong = wrongDocument(body.body);
  if (wrong === 'CONTENT_LIMIT_EXCEEDED') {
    return no(400, [], { comment: 'The entered text is too long. It exceeds the allowed limit of 32,767 characters.' });
  }
  if (wrong !== null) return no(400, [], { comment: wrong });
  const properties = propertiesOf(body.properties);
  return typeof properties === 'string' ? no(400, [properties]) : null;
}

function expands(call: Call, name: string): boolean {
  return (text(call.query.get('expand')) ?? '').split(',').includes(name);
}
