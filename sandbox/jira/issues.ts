import type { Fields } from '../standin.ts';

export interface JiraUser {
  accountId: string;
  emailAddress: string;
  displayName: string;
}

export interface JiraComment {
  id: string;
  body: Fields;
  author: JiraUser;
  created: Date;
  updated: Date;
  properties: Record<string, unknown>;
}

export interface JiraIssue {
  id: string;
  key: string;
  project: string;
  summary: string;
  description: Fields | null;
  issueType: string;
  priority: string;
  labels: string[];
  /** Every other field that was set, by its id. */
  others: Fields;
  status: string;
  creator: JiraUser;
  created: Date;
  updated: Date;
  properties: Record<string, unknown>;
  /** Oldest first. */
  comments: JiraComment[];
}

export interface Issues {
  create: (project: string, creator: JiraUser) => JiraIssue;
  find: (idOrKey: string) => JiraIssue | undefined;
  remove: (issue: JiraIssue) => void;
  comment: (issue: JiraIssue, body: Fields, author: JiraUser) => JiraComment;
  findComment: (id: string) => { issue: JiraIssue; comment: JiraComment } | undefined;
  /** Oldest first. */
  all: () => JiraIssue[];
  clear: () => void;
}

export function createIssues(): Issues {
  let issues: JiraIssue[] = [];
  let lastId = 10_000;
  const lastNumbers = new Map<string, number>();

  return {
    create(project, creator) {
      const number = (lastNumbers.get(project) ?? 0) + 1;
      lastNumbers.set(project, number);
      lastId += 1;
      const now = new Date();
      const issue: JiraIssue = {
        id: String(lastId),
        key: `${project}-${number}`,
        project,
        summary: '',
        description: null,
        issueType: 'Task',
        priority: 'Medium',
        labels: [],
        others: {},
        status: 'To Do',
        creator,
        created: now,
        updated: now,
        properties: {},
        comments: [],
      };
      issues.push(issue);
      return issue;
    },
    find: (idOrKey) => issues.find(({ id, key }) => id === idOrKey || key === idOrKey.toUpperCase()),
    remove(issue) {
      issues = issues.filter((other) => other !== issue);
    },
    comment(issue, body, author) {
      lastId += 1;
      const now = new Date();
      const comment = { id: String(lastId), body, author, created: now, updated: now, properties: {} };
      issue.comments.push(comment);
      return comment;
    },
    findComment(id) {
      for (const issue of issues) {
        const comment = issue.comments.find((each) => each.id === id);
        if (comment !== undefined) return { issue, comment };
      }
      return undefined;
    },
    all: () => issues,
    clear() {
      issues = [];
      lastNumbers.clear();
    },
  };
}
