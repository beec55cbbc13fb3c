import { createHash } from 'node:crypto';
import type { Answer, Fields } from '../standin.ts';
import type { JiraComment, JiraIssue, JiraUser } from './issues.ts';

export const ISSUE_TYPES = ['Task', 'Bug', 'Incident'].map((name, index) => ({ id: String(10_001 + index), name }));
export const PRIORITIES = ['Highest', 'High', 'Medium', 'Low', 'Lowest'];
export const STATUSES = [
  { id: '11', name: 'To Do', category: 'new' },
  { id: '21', name: 'In Progress', category: 'indeterminate' },
  { id: '31', name: 'Done', category: 'done' },
];

export function userOf(email: string): JiraUser {
  const accountId = createHash('sha256').update(email).digest('hex').slice(0, 24);
  return { accountId, emailAddress: email, displayName: email.split('@')[0] ?? email };
}

export function shownUser(user: JiraUser, api: string): Fields {
  const self = `${api}/user?accountId=${user.accountId}`;
  return { self, ...user, active: true, timeZone: 'Etc/UTC', accountType: 'atlassian' };
}

export function shownProject(key: string, api: string): Fields {
  const id = String(
    20_000 + (Number.parseInt(createHash('sha256').update(key).digest('hex').slice(0, 6), 16) % 10_000),
  );
  const issueTypes = ISSUE_TYPES.map((type) => shownType(type, api));
  return {
    self: `${api}/project/${id}`,
    id,
    key,
    name: key,
    projectTypeKey: 'software',
    simplified: false,
    issueTypes,
  };
}

export function shownType(type: { id: string; name: string }, api: string): Fields {
  return { self: `${api}/issuetype/${type.id}`, ...type, description: type.name, subtask: false, hierarchyLevel: 0 };
}

export function shownStatus(name: string, api: string): Fields {
  const status = STATUSES.find((each) => each.name === name);
  const statusCategory = { key: status?.category, name };
  return { self: `${api}/status/${status?.id}`, id: status?.id, name, description: '', statusCategory };
}

/** An issue with the fields and properties that were asked for; `wanted` undefined means every field. */
export function shownIssue(issue: JiraIssue, api: string, wanted: string[] | undefined, properties: string[]): Fields {
  const { issueTypes: _, ...project } = shownProject(issue.project, api);
  const type = ISSUE_TYPES.find(({ name }) => name === issue.issueType) ?? { id: '0', name: issue.issueType };
  const every: Fields = {
    ...issue.others,
    summary: issue.summary,
    description: issue.description,
    labels: issue.labels,
    project,
    issuetype: shownType(type, api),
    priority: { id: String(PRIORITIES.indexOf(issue.priority) + 1), name: issue.priority },
    status: shownStatus(issue.status, api),
    creator: shownUser(issue.creator, api),
    reporter: shownUser(issue.creator, api),
    created: jiraTime(issue.created),
    updated: jiraTime(issue.updated),
    comment: {
      comments: issue.comments.map((comment) => shownComment(issue, comment, api)),
      total: issue.comments.length,
      maxResults: issue.comments.length,
      startAt: 0,
    },
  };
  const isAll = wanted === undefined || wanted.includes('*all') || wanted.includes('*navigable');
  const names = Object.keys(every).filter((name) => isAll || wanted.includes(name));
  const asked = properties.includes('*all') ? Object.keys(issue.properties) : properties;
  const found = asked.filter((name) => name in issue.properties).map((name) => [name, issue.properties[name]]);
  return {
    expand: 'renderedFields,names,schema,operations,editmeta,changelog,versionedRepresentations',
    id: issue.id,
    self: `${api}/issue/${issue.id}`,
    key: issue.key,
    ...(names.length > 0 ? { fields: Object.fromEntries(names.map((name) => [name, every[name]])) } : {}),
    ...(asked.length > 0 ? { properties: Object.fromEntries(found) } : {}),
  };
}

export function shownComment(issue: JiraIssue, comment: JiraComment, api: string, withProperties = false): Fields {
  const properties = Object.entries(comment.properties).map(([key, value]) => ({ key, value }));
  return {
    self: `${api}/issue/${issue.id}/comment/${comment.id}`,
    id: comment.id,
    author: shownUser(comment.author, api),
    body: comment.body,
    updateAuthor: shownUser(comment.author, api),
    created: jiraTime(comment.created),
    updated: jiraTime(comment.updated),
    jsdPublic: true,
    ...(withProperties ? { properties } : {}),
  };
}

export function ok(body: unknown, status = 200): Answer {
  return { status, body };
}

export function no(status: number, messages: string[], errors: Record<string, string> = {}): Answer {
  return { status, body: { errorMessages: messages, errors } };
}

function jiraTime(at: Date): string {
  return at.toISOString().replace('Z', '+0000');
}
