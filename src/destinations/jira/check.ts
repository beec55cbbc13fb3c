import { getCurrentUser, getMyPermissions, getProject } from 'jira.js/cloud';
import { type Check, FaultError } from '../adapter.ts';
import { describe } from '../faults.ts';
import { jiraClient } from './client.ts';
import type { Reach } from './settings.ts';

const permissions: Record<string, string> = {
  BROWSE_PROJECTS: 'see the project, without which nothing can be looked for',
  CREATE_ISSUES: 'create issues',
  EDIT_ISSUES: 'edit issues, without which they cannot be revised or retracted',
  ADD_COMMENTS: 'add comments, which is how a topic continues',
};

export async function check(reach: Reach): Promise<Check[]> {
  const client = jiraClient(reach);
  const { projectKey, issueType } = reach.settings;
  const user = await found('user', async () => {
    const me = await getCurrentUser(client);
    return `Acts as ${me.displayName ?? me.accountId ?? 'an unnamed user'}.`;
  });
  if (!user.ok) return [user];
  const project = await found('project', async () => {
    const { name } = await getProject(client, { projectIdOrKey: projectKey });
    return `The project is ${name ?? projectKey}.`;
  });
  const type = await found('issue type', async () => {
    const { issueTypes = [] } = await getProject(client, { projectIdOrKey: projectKey, expand: 'issueTypes' });
    const names = issueTypes.map(({ name }) => name);
    if (!names.includes(issueType))
      throw new Error(`${projectKey} has no issue type ${issueType}, only ${names.join(', ')}.`);
    return `${projectKey} has the issue type ${issueType}.`;
  });
  return [user, project, type, ...(await allowed(reach))];
}

async function allowed(reach: Reach): Promise<Check[]> {
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
  return names.map((name) => {
    const ok = granted[name]?.havePermission === true;
    return { name, ok, detail: `The account may ${ok ? '' : 'not '}${permissions[name]}.` };
  });
}

async function found(name: string, ask: () => Promise<string>): Promise<Check> {
  try {
    return { name, ok: true, detail: await ask() };
  } catch (error) {
    return { name, ok: false, detail: said(error) };
  }
}

function said(error: unknown): string {
  return error instanceof FaultError ? error.fault.message : describe(error);
}
