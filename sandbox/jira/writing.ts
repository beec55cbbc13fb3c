import { type Answer, type Fields, fields, isFields, list, text } from '../standin.ts';
import { wrongDocument } from './adf.ts';
import type { Issues, JiraIssue, JiraUser } from './issues.ts';
import { ISSUE_TYPES, no, ok, PRIORITIES, STATUSES } from './shapes.ts';

const LONGEST_VALUE = 32_768;
const KNOWN = new Set(['project', 'summary', 'description', 'labels', 'issuetype', 'priority']);

/** POST issue: nothing of it happens unless all of it is right, properties included. */
export function createIssue(issues: Issues, body: unknown, creator: JiraUser, api: string): Answer {
  if (!isFields(body)) return no(400, ['Invalid request payload. Refer to the REST API documentation and try again.']);
  const given = fields(body.fields);
  const key = text(fields(given.project).key)?.toUpperCase();
  const errors = wrongFields(given, true);
  if (key === undefined || key.startsWith('NOPE')) errors.project = 'valid project is required';
  const properties = propertiesOf(body.properties);
  if (typeof properties === 'string') return no(400, [properties]);
  if (key === undefined || Object.keys(errors).length > 0) return no(400, [], errors);
  const issue = issues.create(key, creator);
  write(issue, given);
  Object.assign(issue.properties, properties);
  return ok({ id: issue.id, key: issue.key, self: `${api}/issue/${issue.id}` }, 201);
}

export function editIssue(issue: JiraIssue, body: unknown): Answer {
  if (!isFields(body)) return no(400, ['Invalid request payload. Refer to the REST API documentation and try again.']);
  const given = { ...fields(body.fields), ...updated(issue, fields(body.update)) };
  const errors = wrongFields(given, false);
  const properties = propertiesOf(body.properties);
  if (typeof properties === 'string') return no(400, [properties]);
  if (Object.keys(errors).length > 0) return no(400, [], errors);
  write(issue, given);
  Object.assign(issue.properties, properties);
  issue.updated = new Date();
  return { status: 204 };
}

export function transition(issue: JiraIssue, body: unknown): Answer {
  const id = String(fields(fields(body).transition).id ?? '');
  const status = STATUSES.find((each) => each.id === id);
  if (status === undefined) {
    return no(400, [`It seems that you have tried to perform an illegal workflow operation (transition id ${id}).`]);
  }
  issue.status = status.name;
  issue.updated = new Date();
  return { status: 204 };
}

/** The value of one property, or why Jira would refuse it. */
export function wrongProperty(key: string, value: unknown): string | null {
  if (key.length === 0 || key.length > 255) return 'The property key must be between 1 and 255 characters.';
  if (value === undefined) return 'The property value cannot be empty.';
  return JSON.stringify(value).length > LONGEST_VALUE ? 'The property value must be at most 32768 characters.' : null;
}

export function propertiesOf(given: unknown): Record<string, unknown> | string {
  const properties: Record<string, unknown> = {};
  for (const each of list(given)) {
    const { key, value } = fields(each);
    const wrong = wrongProperty(text(key) ?? '', value);
    if (wrong !== null) return wrong;
    properties[String(key)] = value;
  }
  return properties;
}

function wrongFields(given: Fields, isNew: boolean): Record<string, string> {
  const errors: Record<string, string> = {};
  const summary = text(given.summary);
  if ('summary' in given || isNew) {
    if (!summary?.trim()) errors.summary = 'You must specify a summary of the issue.';
    else if (summary.length > 255) errors.summary = 'Summary must be less than 255 characters.';
    else if (/[\r\n]/.test(summary)) errors.summary = 'The summary is invalid because it contains newline characters.';
  }
  if (given.description !== undefined && given.description !== null) {
    const wrong = wrongDocument(given.description);
    if (wrong === 'CONTENT_LIMIT_EXCEEDED') {
      errors.description = 'The entered text is too long. It exceeds the allowed limit of 32,767 characters.';
    } else if (wrong !== null) errors.description = wrong;
  }
  if ('issuetype' in given || isNew) {
    const { id, name } = fields(given.issuetype);
    if (!ISSUE_TYPES.some((type) => type.id === id || type.name === name)) {
      errors.issuetype = 'Specify a valid issue type';
    }
  }
  for (const label of list(given.labels)) {
    const said = text(label) ?? '';
    if (said === '' || /\s/.test(said)) errors.labels = `The label '${said}' contains spaces which is invalid.`;
    if (said.length > 255) errors.labels = `The label '${said}' is too long (255 characters at most).`;
  }
  const priority = fields(given.priority);
  if ('priority' in given && !PRIORITIES.includes(text(priority.name) ?? PRIORITIES[Number(priority.id) - 1] ?? '')) {
    errors.priority = 'Specify the Priority (id) in string format';
  }
  return errors;
}

function updated(issue: JiraIssue, update: Fields): Fields {
  const changes: Fields = {};
  for (const [name, operations] of Object.entries(update)) {
    for (const operation of list(operations).map(fields)) {
      if ('set' in operation) changes[name] = operation.set;
      if (name !== 'labels') continue;
      const labels = list(changes.labels ?? issue.labels);
      if ('add' in operation) changes.labels = [...new Set([...labels, operation.add])];
      if ('remove' in operation) changes.labels = labels.filter((label) => label !== operation.remove);
    }
  }
  return changes;
}

function write(issue: JiraIssue, given: Fields): void {
  if ('summary' in given) issue.summary = text(given.summary) ?? '';
  if ('description' in given) issue.description = isFields(given.description) ? given.description : null;
  if ('labels' in given) issue.labels = list(given.labels).map(String);
  const type = fields(given.issuetype);
  if ('issuetype' in given) {
    issue.issueType = ISSUE_TYPES.find(({ id, name }) => id === type.id || name === type.name)?.name ?? 'Task';
  }
  const priority = fields(given.priority);
  if ('priority' in given) issue.priority = text(priority.name) ?? PRIORITIES[Number(priority.id) - 1] ?? 'Medium';
  for (const [name, value] of Object.entries(given)) if (!KNOWN.has(name)) issue.others[name] = value;
}
