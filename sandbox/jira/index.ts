import { type Answer, type Call, fields, type Ground, list, type StandIn, text } from '../standin.ts';
import { createIssues, type Issues, type JiraIssue } from './issues.ts';
import { route } from './routes.ts';
import { no, userOf } from './shapes.ts';

export interface JiraView {
  /** The issues there are now, oldest first, of one project or of all. */
  issues: (project?: string) => JiraIssue[];
  issue: (idOrKey: string) => JiraIssue | undefined;
  /** How long the search index does not know a new issue. Reading it by key is immediate, as in Jira. Default 0. */
  searchLagMs: number;
}

const READING_POSTS = new Set(['search/jql', 'issue/bulkfetch', 'comment/list']);

export function createJira(ground: Ground): { standIn: StandIn; view: JiraView } {
  const issues = createIssues();
  const view: JiraView = {
    issues: (project) =>
      structuredClone(issues.all().filter((issue) => project === undefined || issue.project === project)),
    issue: (idOrKey) => structuredClone(issues.find(idOrKey)),
    searchLagMs: 0,
  };
  const standIn: StandIn = {
    service: 'jira',
    prefix: '/jira/rest/',
    plan(call) {
      const path = call.segments.slice(2).join('/');
      const reads = call.method === 'GET' || (call.method === 'POST' && READING_POSTS.has(path));
      return { places: placesOf(issues, call), writes: !reads, apply: () => answer(issues, view, ground, call) };
    },
    refusal: (status) => no(status, [`The service answered ${status}.`]),
    limited: (reason = 'jira-burst-based') => ({
      ...no(429, ['Rate limit exceeded.']),
      headers: { 'ratelimit-reason': reason, 'x-ratelimit-reset': new Date(Date.now() + 1000).toISOString() },
    }),
    error: (code) => no(400, [code]),
    state: () => view.issues(),
    reset() {
      issues.clear();
      view.searchLagMs = 0;
    },
  };
  return { standIn, view };
}

/** The project the request is about, and the issue if there is one. */
function placesOf(issues: Issues, call: Call): string[] {
  const [, , root, id = '', second, third] = call.segments;
  const body = fields(call.body);
  const project = text(fields(fields(body.fields).project).key);
  if (root === 'issue' && id === '') return project === undefined ? [] : [project];
  if (root === 'issue' && id === 'createmeta') return second === undefined ? [] : [second];
  if (root === 'project') return [id];
  if (root === 'mypermissions') return [call.query.get('projectKey') ?? ''].filter(Boolean);
  if (root === 'search') return /project\s*=\s*"?([A-Z0-9_]+)/i.exec(text(body.jql) ?? '')?.slice(1) ?? [];
  const wanted = id === 'list' ? list(body.ids).map(String)[0] : id;
  const issue =
    root === 'comment'
      ? issues.findComment(wanted ?? '')?.issue
      : issues.find(id === 'bulkfetch' ? (list(body.issueIdsOrKeys).map(String)[0] ?? '') : id);
  if (issue === undefined) return /^[A-Z][A-Z0-9_]+-\d+$/.test(id) ? [id.replace(/-\d+$/, ''), id] : [];
  return [issue.project, issue.key, issue.id, ...(second === 'comment' && third !== undefined ? [third] : [])];
}

function answer(issues: Issues, view: JiraView, ground: Ground, call: Call): Answer {
  const [kind, version, ...path] = call.segments;
  if (kind !== 'api' || version !== '3') return no(404, [`No resource at ${call.path}: use /rest/api/3`]);
  const basic = /^Basic (.+)$/i.exec(call.headers.authorization ?? '')?.[1] ?? '';
  const [, email, token] = /^([^:]+):(.+)$/s.exec(Buffer.from(basic, 'base64').toString()) ?? [];
  if (email === undefined || token === undefined || token.startsWith('bad')) {
    return no(401, ['Client must be authenticated to access this resource.']);
  }
  const scene = {
    issues,
    searchLagMs: view.searchLagMs,
    user: userOf(email),
    token,
    api: `${ground.url()}/jira/rest/api/3`,
  };
  return route(scene, call, path) ?? no(404, [`No resource at ${call.method} ${call.path}`]);
}
