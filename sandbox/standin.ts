import type { IncomingHttpHeaders } from 'node:http';

export type HttpService = 'slack' | 'graph' | 'jira' | 'webhook' | 'pagerduty' | 'workflow';
export type Service = HttpService | 'smtp';

/** One HTTP request, read to its end. `segments` are the decoded path parts after the stand-in's own prefix. */
export interface Call {
  method: string;
  path: string;
  segments: string[];
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  raw: Buffer;
  /** The parsed JSON or form; the text itself when it is neither, or broken. */
  body: unknown;
}

/** An object body goes out as JSON, a string as it is, and no body as none. */
export interface Answer {
  status: number;
  headers?: Record<string, string>;
  body?: unknown;
}

/** What a request would do, known before it is done, so that a fault can stand between. */
export interface Plan {
  /** What a fault's `place` is compared with; the first one is shown. */
  places: string[];
  writes: boolean;
  /** Only faults that name its place meet this request: a token refresh is not one of "the next two reads". */
  aimed?: boolean;
  apply: () => Answer;
}

/** One service as the wire sees it. What it says when it refuses is the vendor's own wording. */
export interface StandIn {
  service: HttpService;
  prefix: string;
  plan: (call: Call) => Plan;
  refusal: (status: number) => Answer;
  limited: (reason?: string) => Answer;
  error: (code: string) => Answer;
  /** Everything a person would see, as JSON. */
  state: () => unknown;
  reset: () => void;
}

/** What a stand-in knows of the sandbox around it. */
export interface Ground {
  /** http://host:port without a trailing slash; known once the sandbox listens. */
  url: () => string;
  /** Tells waiting tests that something a person could see has changed. */
  changed: () => void;
}

export type Fields = Record<string, unknown>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function fields(value: unknown): Fields {
  return isFields(value) ? value : {};
}

export function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Adds to the list kept under a key; a copy per addition would make a long run quadratic. */
export function append<Item>(lists: Map<string, Item[]>, key: string, ...items: Item[]): void {
  const kept = lists.get(key);
  if (kept === undefined) lists.set(key, items);
  else kept.push(...items);
}

export function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}
