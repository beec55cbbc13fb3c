import { type Answer, type Call, fields, list, text } from '../standin.ts';
import { commentsById, commentsOf, propertiesAt } from './comments.ts';
import type { Issues, JiraUser } from './issues.ts';
import { parseJql } from './jql.ts';
import {
  ISSUE_TYPES,
  no,
  ok,
  STATUSES,
  shownIssue,
  shownProject,
  shownStatus,
  shownType,
  shownUser,
} from './shapes.ts';
import { createIssue, editIssue, transition } from './writing.ts';

/** One request: the issues there are, who asks, and where the API is. */
export interface Scene {
  issues: Issues;
  searchLagMs: number;
  user: JiraUser;
  token: string;
  api: string;
}

/** Undefined: there is nothing at this path. */
export function route(scene: Scene, call: Call, path: string[]): Answer | undefined {
  const { issues, api, user } = scene;
  const [root, id, inner, last] = path;
  switch (root) {
    case 'myself':
      return ok(shownUser(user, api));
    case 'serverInfo': {
      const site = api.replace('/rest/api/3', '');
      return ok({
        baseUrl: site,
        deploymentType: 'Cloud',
        serverTitle: 'Sandbox',
        serverTime: new Date(),
        version: '1001.0.0',
      });
    }
    case 'project':
      if (id === undefined) return undefined;
      return id.startsWith('NOPE') ? noProject(id) : ok(shownProject(id, api));
    case 'mypermissions':
      return permissions(scene, call);
    case 'search':
      return id === 'jql' && call.method === 'POST' ? search(scene, call) : undefined;
    case 'comment': {
      if (id === 'list') return call.method === 'POST' ? commentsById(issues, call, api) : undefined;
      const found = issues.findComment(id ?? '');
      if (found === undefined) return no(404, [`Can not find a comment for the id: ${id}.`]);
      return inner === 'properties'
        ? propertiesAt(found.comment, last, call, `${api}/comment/${id}/properties`)
        : undefined;
    }
    case 'issue':
      return id === undefined || id === 'createmeta' || id === 'bulkfetch'
        ? issueCollection(scene, call, id, inner)
        : issueAt(scene, call, id, inner, last);
    default:
      return undefined;
  }
}

function issueCollection(scene: Scene, call: Call, id: string | undefined, project?: string): Answer | undefined {
  const { issues, api, user } = scene;
  if (id === 'createmeta') {
    if (project?.startsWith('NOPE')) return noProject(project);
    const issueTypes = ISSUE_TYPES.map((type) => shownType(type, api));
    return ok({ startAt: 0, maxResults: 50, total: issueTypes.length, issueTypes });
  }
  if (call.method !== 'POST') return undefined;
  const body = fields(call.body);
  if (id === 'bulkfetch') {
    const found = list(body.issueIdsOrKeys).map((each) => issues.find(String(each)));
    const properties = list(body.properties).map(String);
    const wanted = body.fields === undefined ? undefined : list(body.fields).map(String);
    const shown = found
      .filter((issue) => issue !== undefined)
      .map((issue) => shownIssue(issue, api, wanted, properties));
    return ok({ issues: shown, issueErrors: [] });
  }
  return forbidden(scene) ?? createIssue(issues, call.body, user, api);
}

function issueAt(scene: Scene, call: Call, id: string, inner?: string, last?: string): Answer | undefined {
  const { issues, api, user } = scene;
  const issue = issues.find(id);
  if (issue === undefined) return no(404, ['Issue does not exist or you do not have permission to see it.']);
  if (call.method !== 'GET') {
    const refused = forbidden(scene);
    if (refused !== undefined) return refused;
  }
  if (inner === 'comment') return commentsOf(issues, issue, last, call, user, api);
  if (inner === 'properties') return propertiesAt(issue, last, call, `${api}/issue/${issue.id}/properties`);
  if (inner === 'transitions') {
    if (call.method === 'POST') return transition(issue, call.body);
    const transitions = STATUSES.map(({ id: way, name }) => ({
      id: way,
      name,
      to: shownStatus(name, api),
      isAvailable: true,
    }));
    return ok({ expand: 'transitions', transitions });
  }
  if (inner !== undefined) return undefined;
  if (call.method === 'GET') {
    return ok(shownIssue(issue, api, named(call.query, 'fields'), named(call.query, 'properties') ?? []));
  }
  if (call.method === 'PUT') return editIssue(issue, call.body);
  if (call.method !== 'DELETE') return undefined;
  issues.remove(issue);
  return { status: 204 };
}

function search({ issues, searchLagMs, user, api }: Scene, call: Call): Answer {
  const body = fields(call.body);
  const query = parseJql(text(body.jql) ?? '', user.accountId);
  if (typeof query === 'string') return no(400, [query]);
  const properties = list(body.properties).map(String);
  if (properties.length > 5) return no(400, ['At most 5 properties can be asked for.']);
  const indexed = issues.all().filter((issue) => Date.now() - issue.created.getTime() >= searchLagMs);
  const found = query.sort(indexed.filter(query.matches));
  const start = Number(text(body.nextPageToken) ?? 0);
  const page = found.slice(start, start + Math.min(Number(body.maxResults ?? 50), 5000));
  const end = start + page.length;
  const shown = page.map((issue) => shownIssue(issue, api, list(body.fields).map(String), properties));
  return ok({
    issues: shown,
    isLast: end >= found.length,
    ...(end < found.length ? { nextPageToken: String(end) } : {}),
  });
}

function permissions({ token }: Scene, call: Call): Answer {
  const project = call.query.get('projectKey');
  if (project?.startsWith('NOPE')) return noProject(project);
  const keys = named(call.query, 'permissions') ?? [];
  if (keys.length === 0) return no(400, ["The 'permissions' query parameter is required."]);
  const readOnly = token.startsWith('nowrite');
  const shown = keys.map((key, index) => {
    const havePermission = key === 'BROWSE_PROJECTS' || !readOnly;
    return [key, { id: String(index + 1), key, name: key, type: 'PROJECT', description: '', havePermission }];
  });
  return ok({ permissions: Object.fromEntries(shown) });
}

function forbidden({ token }: Scene): Answer | undefined {
  return token.startsWith('nowrite') ? no(403, ['You do not have permission to do this in this project.']) : undefined;
}

function noProject(key: string): Answer {
  return no(404, [`No project could be found with key '${key}'.`]);
}

function named(query: URLSearchParams, name: string): string[] | undefined {
  const given = query.getAll(name).flatMap((value) => value.split(','));
  return given.length === 0 ? undefined : given.map((value) => value.trim());
}
