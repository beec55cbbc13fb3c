/**
 * jira.js costs about 80 MB and a third of a second to load: whoever speaks to no Jira never pays. Later calls get the same module.
 */
export function library(): Promise<typeof import('jira.js/cloud')> {
  return import('jira.js/cloud');
}
