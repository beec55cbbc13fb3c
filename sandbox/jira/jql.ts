import type { JiraIssue } from './issues.ts';

/** What a query asks for, or the sentence Jira would refuse it with. */
export type Query = { matches: (issue: JiraIssue) => boolean; sort: (issues: JiraIssue[]) => JiraIssue[] } | string;

type Test = (issue: JiraIssue) => boolean;

const UNITS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 };

/** The small part of JQL that finds one's own recent issues: clauses joined by AND, then ORDER BY. */
export function parseJql(jql: string, currentUser: string): Query {
  const [where = '', order = ''] = jql.split(/\border\s+by\b/i);
  if (where.trim() === '') return 'Unbounded JQL queries are not allowed here. Please add a search restriction.';
  const tests: Test[] = [];
  for (const clause of where.match(/(?:"[^"]*"|'[^']*'|\s(?!and\s)|[^\s"'])+/gi) ?? []) {
    const bare = clause.trim().replace(/^and\s+/i, '');
    if (bare === '') continue;
    const test = clauseTest(bare, currentUser);
    if (typeof test === 'string') return test;
    tests.push(test);
  }
  const sort = sorter(order.trim());
  return typeof sort === 'string' ? sort : { matches: (issue) => tests.every((test) => test(issue)), sort };
}

function clauseTest(clause: string, currentUser: string): Test | string {
  const parts = /^"?([a-z]+)"?\s*(!=|>=|<=|=|>|<|~|not\s+in\b|in\b)\s*(.+)$/is.exec(clause);
  if (parts === null)
    return `Error in the JQL Query: Expecting operator but got the end of the query near '${clause}'.`;
  const name = parts[1]?.toLowerCase() ?? '';
  const operator = parts[2]?.toLowerCase().replace(/\s+/, ' ') ?? '';
  const values = valuesOf(parts[3] ?? '').map((value) => (/^currentUser\(\)$/i.test(value) ? currentUser : value));

  if (name === 'created' || name === 'updated') {
    const when = momentOf(values[0] ?? '');
    if (when === null) return `Date value '${values[0]}' for field '${name}' is invalid.`;
    return (issue) => compare(issue[name].getTime(), operator, when);
  }
  const read = readers[name];
  if (read === undefined) return `Field '${name}' does not exist or you do not have permission to view it.`;
  if (name === 'project') {
    const nope = values.find((value) => value.startsWith('NOPE'));
    if (nope !== undefined) return `The value '${nope}' does not exist for the field 'project'.`;
  }
  const wanted = values.map((value) => value.toLowerCase());
  const has: Test = (issue) => read(issue).some((value) => wanted.includes(value.toLowerCase()));
  if (operator === '=' || operator === 'in') return has;
  if (operator === '!=' || operator === 'not in') return (issue) => !has(issue);
  if (operator === '~') return (issue) => read(issue).some((value) => value.toLowerCase().includes(wanted[0] ?? ''));
  return `The operator '${operator}' is not supported by the '${name}' field.`;
}

const readers: Record<string, (issue: JiraIssue) => string[]> = {
  project: (issue) => [issue.project],
  creator: (issue) => [issue.creator.accountId, issue.creator.emailAddress],
  reporter: (issue) => [issue.creator.accountId, issue.creator.emailAddress],
  labels: (issue) => issue.labels,
  key: (issue) => [issue.key, issue.id],
  issuekey: (issue) => [issue.key, issue.id],
  id: (issue) => [issue.id, issue.key],
  status: (issue) => [issue.status],
  issuetype: (issue) => [issue.issueType],
  type: (issue) => [issue.issueType],
  priority: (issue) => [issue.priority],
  summary: (issue) => [issue.summary],
};

function valuesOf(given: string): string[] {
  const inside = /^\((.*)\)$/s.exec(given.trim())?.[1] ?? given;
  return (inside.match(/"[^"]*"|'[^']*'|[^,]+/g) ?? []).map((value) => value.trim().replace(/^(["'])(.*)\1$/s, '$2'));
}

/** A moment like -30m, 2026-11-20 14:02 or 2026/11/20, in UTC. */
function momentOf(value: string): number | null {
  const relative = /^([+-]?)(\d+)([mhdw])$/.exec(value);
  if (relative !== null) {
    const distance = Number(relative[2]) * (UNITS[relative[3] ?? ''] ?? 0);
    return Date.now() + (relative[1] === '-' ? -distance : distance);
  }
  if (!/^\d{4}[-/]\d{1,2}[-/]\d{1,2}( \d{1,2}:\d{2})?$/.test(value)) return null;
  return Date.parse(`${value.replaceAll('/', '-')}${value.includes(' ') ? '' : ' 00:00'}Z`);
}

function compare(left: number, operator: string, right: number): boolean {
  if (operator === '>=') return left >= right;
  if (operator === '>') return left > right;
  if (operator === '<=') return left <= right;
  if (operator === '<') return left < right;
  return left === right;
}

function sorter(order: string): ((issues: JiraIssue[]) => JiraIssue[]) | string {
  const [, name = 'created', direction = 'desc'] = /^(\w+)(?:\s+(asc|desc))?$/i.exec(order) ?? [];
  const field = name.toLowerCase();
  if (!['created', 'updated', 'key', 'id'].includes(field)) return `Not able to sort using field '${name}'.`;
  const rank = (issue: JiraIssue) => (field === 'created' || field === 'updated' ? issue[field].getTime() : 0);
  const sign = direction.toLowerCase() === 'asc' ? 1 : -1;
  return (issues) => issues.toSorted((a, b) => sign * (rank(a) - rank(b) || Number(a.id) - Number(b.id)));
}
