import type { Adapter } from './adapter.ts';
import { callback } from './callback/index.ts';
import { email } from './email/index.ts';
import { jira } from './jira/index.ts';
import { pagerduty } from './pagerduty/index.ts';
import { slack } from './slack/index.ts';
import { teams } from './teams/index.ts';
import { teamsWorkflow } from './teams-workflow/index.ts';
import { webhook } from './webhook/index.ts';

/** Every kind a destination may be of. A new one is its folder and a line here. */
export const adapters: Record<string, Adapter> = {
  slack,
  teams,
  'teams-workflow': teamsWorkflow,
  jira,
  webhook,
  email,
  pagerduty,
};

/** Also knows the kind that no destination is of: `callback`. */
const resolvable = new Map<string, Adapter>(Object.entries({ ...adapters, callback }));

export function adapterFor(kind: string): Adapter | undefined {
  return resolvable.get(kind);
}
