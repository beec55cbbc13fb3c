import { type Check, FaultError } from '../adapter.ts';
import { describe, isUnanswered } from '../faults.ts';
import { advised } from '../remedy.ts';
import { JiraRefusal, jiraClient } from './client.ts';
import { library } from './library.ts';
import type { Reach } from './settings.ts';

/** Permissions with what each is needed for. */
const permissions: Record<string, { name: string; purpose: string }> = {
  BROWSE_PROJECTS: { name: 'browse projects', purpose: 'nothing can be looked for without it' },
  CREATE_ISSUES: { name: 'create issues', purpose: 'a broadcast becomes an issue' },
  EDIT_ISSUES: { name: 'edit issues', purpose: 'issues cannot be revised or retracted without it' },
  ADD_COMMENTS: { name: 'add comments', purpose: 'a topic goes on in comments' },
  DELETE_OWN_COMMENTS: { name: 'delete own comments', purpose: 'comments cannot be retracted without it' },
  EDIT_OWN_COMMENTS: { name: 'edit own comments', purpose: 'comments cannot be revised without it' },
};

export async function check(reach: Reach): Promise<Check[]> {
  const { getCurrentUser, getProject } = await library();
  const client = jiraClient(reach);
  const { projectKey, issueType } = reach.settings;
  const user = await found('user', whoAdvice, async () => {
    const me = await getCurrentUser(client);
    return `Acts as ${me.displayName ?? me.accountId ?? 'an unnamed user'}.`;
  });
  if (!user.ok) return [user];
  const key =
    'Check projectKey, the letters before the number of its issues, and that this account may browse the project.';
  const project = await found('project', key, async () => {
    const { name } = await getProject(client, { projectIdOrKey: projectKey });
    return `The project is ${name ?? projectKey}.`;
  });
  if (!project.ok) return [user, project];
  const choose = "Choose one of these, or add the type in the project's settings.";
  const type = await found('issue type', choose, async () => {
    const { issueTypes = [] } = await getProject(client, { projectIdOrKey: projectKey, expand: 'issueTypes' });
    const names = issueTypes.map(({ name }) => name);
    if (!names.includes(issueType))
      throw new Error(`${projectKey} has no issue type ${issueType}, only ${names.join(', ')}.`);
    return `${projectKey} has the issue type ${issueType}.`;
  });
  return [user, project, type, ...(await allowed(reach))];
}

async function allowed(reach: Reach): Promise<Check[]> {
  const { getMyPermissions } = await library();
  const names = Object.keys(permissions);
  let granted: Record<string, { havePermission?: boolean }>;
  try {
    const answer = await getMyPermissions(jiraClient(reach), {
      projectKey: reach.settings.projectKey,
      permissions: names.join(','),
    });
    granted = (answer.permissions ?? {}) as typeof granted;
  } catch (error) {
    return [{ name: 'permissions', ok: false, detail: said(error) }];
  }
  return Object.entries(permissions).map(([key, { name, purpose }]) => {
    const ok = granted[key]?.havePermission === true;
    const advice = `Give the account this permission in the project's permission scheme: ${purpose}.`;
    return { name, ok, detail: ok ? 'The account may.' : `The account may not. ${advice}` };
  });
}

export const credentialAdvice =
  'Check email and apiToken: an API token (id.atlassian.com, Security) only works with the e-mail of its account.';

/** Who is asking is told by every Jira: one that refuses the credential, or something else at that address. */
function whoAdvice(error: unknown): string {
  const refused = error instanceof JiraRefusal && [401, 403].includes(error.status);
  return refused ? credentialAdvice : "Check apiUrl, your Jira's own address, like https://you.atlassian.net.";
}

async function found(
  name: string,
  advice: string | ((error: unknown) => string),
  ask: () => Promise<string>,
): Promise<Check> {
  try {
    return { name, ok: true, detail: await ask() };
  } catch (error) {
    // Of one that was not reached nothing is known; that is told in one place for all kinds.
    if (isUnanswered(error)) throw error;
    return { name, ok: false, detail: advised(said(error), typeof advice === 'string' ? advice : advice(error)) };
  }
}

function said(error: unknown): string {
  return error instanceof FaultError ? error.fault.message : describe(error);
}
